"""A damaged file of a model ends in a message or is still a classifier, never in a defect."""

import io
import random
import shutil
import zipfile
from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized

from retrain.errors import UserError
from retrain.metadata import GRAPH_NODE, METADATA_FILE
from retrain.runtimes import classifier_file
from retrain.runtimes.runtime import ModelError
from tests.support import sample_classifier

_SIDE = 8
_CASES = 40
# Numbers that sizes, offsets and types often turn out to be unable to have.
_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 62)


def damage(data: bytes, rng: random.Random) -> bytes:
    """Returns a copy with some bytes changed, inserted or missing."""
    result = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        position = rng.randrange(len(result))
        kind = rng.randrange(6)
        if kind == 0:
            result[position] ^= 1 << rng.randrange(8)
        elif kind == 1:
            result[position] = rng.randrange(256)
        elif kind == 2:
            number = rng.choice(_NUMBERS).to_bytes(8, "little")[: rng.choice((1, 2, 4, 8))]
            result[position : position + len(number)] = number
        elif kind == 3:
            result[position:position] = rng.randbytes(rng.choice((1, 4, 100)))
        elif kind == 4:
            del result[position : position + rng.choice((1, 4, 100))]
        else:
            start = rng.randrange(len(result))
            piece = result[start : start + 64]
            result[position : position + len(piece)] = piece
        if not result:
            break
    return bytes(result[: rng.randrange(len(result))] if rng.random() < 0.1 else result) or b"\0"


class DamagedModelsTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        import tensorflow as tf

        cls.metadata = sample_classifier.classifier(height=_SIDE, width=_SIDE).metadata.to_json()
        pixels = tf.keras.Input((_SIDE, _SIDE, 3), name="image")
        features = tf.keras.layers.Conv2D(4, 3, activation="relu")(pixels)
        pooled = tf.keras.layers.GlobalAveragePooling2D()(features)
        cls.model = tf.keras.Model(pixels, tf.keras.layers.Dense(3, activation="softmax")(pooled))
        cls.base = Path(cls.create_tempdir(cls()).full_path)
        cls.formats = {
            "graph": cls.write_graph(),
            "saved_model": cls.write_saved_model(),
            "keras": cls.write_keras(),
            "tflite": cls.write_tflite(),
        }

    @classmethod
    def write_graph(cls) -> Path:
        import tensorflow as tf
        from tensorflow.python.framework import convert_to_constants

        spec = tf.TensorSpec((None, _SIDE, _SIDE, 3), tf.float32)
        function = tf.function(lambda x: tf.identity(cls.model(x), "final_result"), [spec])
        frozen = convert_to_constants.convert_variables_to_constants_v2(
            function.get_concrete_function()
        )
        graph = frozen.graph.as_graph_def()
        (start,) = (node for node in graph.node if node.op == "Placeholder")
        old, start.name = start.name, "input"
        for node in graph.node:
            node.input[:] = ["input" if name == old else name for name in node.input]
        if not any(node.name == "final_result" for node in graph.node):
            graph.node[-1].name = "final_result"
        value = tf.make_tensor_proto(cls.metadata)
        constant = graph.node.add(op="Const", name=GRAPH_NODE)
        constant.attr["dtype"].type = value.dtype
        constant.attr["value"].tensor.CopyFrom(value)
        path = cls.base / "graph.pb"
        path.write_bytes(graph.SerializeToString())
        return path

    @classmethod
    def write_saved_model(cls) -> Path:
        import tensorflow as tf

        module = tf.Module()
        module.model = cls.model
        spec = tf.TensorSpec((None, _SIDE, _SIDE, 3), tf.uint8, "image")
        module.call = tf.function(
            lambda image: {"probabilities": cls.model(tf.cast(image, tf.float32))}, [spec]
        )
        path = cls.base / "saved"
        tf.saved_model.save(module, str(path), {"serving_default": module.call})
        (path / "assets").mkdir(exist_ok=True)
        (path / "assets" / METADATA_FILE).write_text(cls.metadata)
        return path

    @classmethod
    def write_keras(cls) -> Path:
        path = cls.base / "model.keras"
        cls.model.save(path)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(METADATA_FILE, cls.metadata)
        return path

    @classmethod
    def write_tflite(cls) -> Path:
        import tensorflow as tf

        function = tf.function(cls.model).get_concrete_function(
            tf.TensorSpec((1, _SIDE, _SIDE, 3), tf.float32)
        )
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
        content = io.BytesIO(converter.convert())
        content.seek(0, io.SEEK_END)
        with zipfile.ZipFile(content, "a") as archive:
            archive.writestr(METADATA_FILE, cls.metadata)
        path = cls.base / "model.tflite"
        path.write_bytes(content.getvalue())
        return path

    def classify(self, path: Path) -> None:
        runtime = classifier_file.load(path, lambda name: None)
        try:
            scores = runtime.run(np.zeros((1, _SIDE, _SIDE, 3), np.uint8))
            self.assertEqual(scores.shape[0], 1)
        except ModelError:
            pass
        finally:
            runtime.close()

    def damaged(self, path: Path, rng: random.Random) -> Path:
        """Returns a copy of a model with one damaged file."""
        copy = Path(self.create_tempdir().full_path) / path.name
        if path.is_file():
            copy.write_bytes(damage(path.read_bytes(), rng))
            return copy
        shutil.copytree(path, copy)
        file = rng.choice(sorted(file for file in copy.rglob("*") if file.is_file()))
        file.write_bytes(damage(file.read_bytes(), rng))
        return copy

    @parameterized.parameters("graph", "saved_model", "keras", "tflite")
    def test_damaged_files_end_in_one_line(self, name: str):
        path = self.formats[name]
        self.classify(path)
        for case in range(_CASES):
            rng = random.Random(f"{name} {case}")
            copy = self.damaged(path, rng)
            with self.subTest(case=case):
                try:
                    self.classify(copy)
                except UserError as error:
                    self.assertNotIn("\n", str(error))


if __name__ == "__main__":
    absltest.main()

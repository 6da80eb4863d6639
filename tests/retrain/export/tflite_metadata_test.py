"""Tests that TFLite files contain the metadata that Android's Task Library and MediaPipe read.

The tests read the tables by the field numbers of the specification, without these libraries:
https://github.com/tensorflow/tflite-support/blob/master/tensorflow_lite_support/metadata/metadata_schema.fbs
"""

import io
import zipfile

import flatbuffers
import numpy as np
from absl.testing import absltest, parameterized
from flatbuffers import number_types
from flatbuffers.table import Table

from retrain import metadata
from retrain.export import tflite
from retrain.output_options import TFLiteOptions
from tests.support import sample_classifier, tflite_models


class _Reader:
    """A table, whose fields are read by their numbers in the specification."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def _position(self, field: int) -> int:
        offset = self._table.Offset(4 + 2 * field)
        assert offset, f"field {field} is missing"
        return self._table.Pos + offset

    def text(self, field: int) -> str:
        return self._table.String(self._position(field)).decode()

    def number(self, field: int, kind: type) -> int:
        return self._table.Get(kind, self._position(field))

    def table(self, field: int) -> "_Reader":
        return _Reader(Table(self._table.Bytes, self._table.Indirect(self._position(field))))

    def tables(self, field: int) -> list["_Reader"]:
        offset = self._position(field) - self._table.Pos
        begin = self._table.Vector(offset)
        positions = [begin + 4 * index for index in range(self._table.VectorLen(offset))]
        return [_Reader(Table(self._table.Bytes, self._table.Indirect(at))) for at in positions]

    def floats(self, field: int) -> list[float]:
        offset = self._position(field) - self._table.Pos
        flags = number_types.Float32Flags
        begin = self._table.Vector(offset)
        count = self._table.VectorLen(offset)
        return [self._table.Get(flags, begin + 4 * index) for index in range(count)]


def _tables(data: bytes) -> tuple[bytes, _Reader]:
    """Returns the identifier and the outermost table of the metadata in a TFLite file."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(data, 0)
    entries = [model.Metadata(index) for index in range(model.MetadataLength())]
    (entry,) = [entry for entry in entries if entry.Name() == b"TFLITE_METADATA"]
    content = model.Buffers(entry.Buffer()).DataAsNumpy().tobytes()
    root = flatbuffers.encode.Get(flatbuffers.packer.uoffset, content, 0)
    return content[4:8], _Reader(Table(bytearray(content), root))


class TFLiteMetadataTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.classifier = sample_classifier.classifier()
        cls.files = {
            kind: tflite.to_bytes(cls.classifier, TFLiteOptions("none", kind))
            for kind in ("uint8", "float32")
        }

    def test_model_table(self):
        identifier, model = _tables(self.files["uint8"])
        self.assertEqual(identifier, b"M001")
        self.assertLen(model.tables(3), 1)
        self.assertIn("grün", model.text(1))
        self.assertEqual([file.text(0) for file in model.tables(6)], ["retrain_metadata.json"])
        self.assertEqual(model.text(7), "1.0.0")

    @parameterized.parameters(("uint8", 0, 1, 0, 255), ("float32", 127, 128, -127 / 128, 1))
    def test_input_is_an_image_with_its_normalisation(
        self, kind: str, mean: float, std: float, lowest: float, highest: float
    ):
        _, model = _tables(self.files[kind])
        (subgraph,) = model.tables(3)
        (image,) = subgraph.tables(2)
        self.assertEqual(image.text(0), "image")
        self.assertIn("The aspect ratio of an image is ignored", image.text(1))
        content = image.table(3)
        self.assertEqual(content.number(0, number_types.Uint8Flags), 2)  # ImageProperties
        properties = content.table(1)
        self.assertEqual(properties.number(0, number_types.Int8Flags), 1)  # RGB
        size = properties.table(1)
        sides = [size.number(field, number_types.Uint32Flags) for field in (0, 1)]
        self.assertEqual(sides, [224, 224])
        (step,) = image.tables(4)
        self.assertEqual(step.number(0, number_types.Uint8Flags), 1)  # NormalizationOptions
        self.assertEqual(step.table(1).floats(0), [mean] * 3)
        self.assertEqual(step.table(1).floats(1), [std] * 3)
        self.assertEqual(image.table(5).floats(0), [highest] * 3)
        self.assertEqual(image.table(5).floats(1), [lowest] * 3)

    @parameterized.parameters(
        (metadata.CROP, "cropped to its centre"), (metadata.PAD, "black bars")
    )
    def test_input_is_described_for_images_of_another_aspect_ratio(self, fit: str, words: str):
        data = tflite.to_bytes(sample_classifier.classifier(fit=fit), TFLiteOptions())
        _, model = _tables(data)
        self.assertIn(words, model.tables(3)[0].tables(2)[0].text(1))
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            self.assertEqual(metadata.from_json(archive.read("retrain_metadata.json")).fit, fit)

    def test_output_names_its_labels_file(self):
        _, model = _tables(self.files["uint8"])
        (subgraph,) = model.tables(3)
        (scores,) = subgraph.tables(3)
        self.assertEqual(scores.text(0), "probabilities")
        (file,) = scores.tables(6)
        self.assertEqual(file.text(0), "labels.txt")
        self.assertEqual(file.number(2, number_types.Int8Flags), 2)  # TENSOR_AXIS_LABELS

    def test_labels_and_metadata_are_in_an_uncompressed_archive(self):
        with zipfile.ZipFile(io.BytesIO(self.files["uint8"])) as archive:
            self.assertEqual(archive.read("labels.txt").decode(), "red\ngrün\nblue sky\n")
            described = metadata.from_json(archive.read("retrain_metadata.json"))
            kinds = {file.compress_type for file in archive.infolist()}
        self.assertEqual(kinds, {zipfile.ZIP_STORED})
        self.assertEqual(described.labels, self.classifier.metadata.labels)

    def test_metadata_describes_the_input_of_the_file(self):
        for kind, mean, std in (("uint8", 0, 1), ("float32", 127, 128)):
            described = tflite_models.read_metadata(self.files[kind])
            self.assertEqual((described.mean, described.std), ((mean,) * 3, (std,) * 3))
            plain = self.classifier.metadata
            self.assertEqual(described.fingerprint, plain.fingerprint)

    def test_tensor_data_is_aligned(self):
        from ai_edge_litert import schema_py_generated as schema

        data = self.files["uint8"]
        model = schema.Model.GetRootAs(data, 0)
        for index in range(model.BuffersLength()):
            buffer = model.Buffers(index)
            if not buffer.DataIsNone():
                begin = buffer._tab.Vector(buffer._tab.Offset(4))
                self.assertEqual(begin % 16, 0, f"buffer {index}")
        self.assertEqual(np.frombuffer(data[4:8], np.uint8).tobytes(), b"TFL3")


if __name__ == "__main__":
    absltest.main()

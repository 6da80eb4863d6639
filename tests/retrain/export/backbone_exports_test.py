"""Tests all file formats with backbones of other sizes, channel orders and normalisations."""

import dataclasses
import shutil
import tempfile
from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized
from PIL import Image

from retrain.backbones import engines, freeze, quantise, tflite_conversion
from retrain.backbones.backbone import Backbone
from retrain.data import pixels
from retrain.export import coreml, coreml_options, frozen_graph, keras_file, saved_model, tflite
from retrain.export.assemble import TrainedClassifier
from retrain.metadata import Metadata
from retrain.output_options import CoreMLOptions, TFLiteOptions
from retrain.runtimes import classifier_file, saved_model_folder
from retrain.runtimes.head import Head
from retrain.runtimes.runtime import Runtime

_LABELS = ("a", "b", "c")
_WIDTH = 20
_KINDS = (
    # The normalisation of VGG16, but images that are not square.
    ("caffe", "BGR", (103.939, 116.779, 123.68), (1.0, 1.0, 1.0), (24, 40)),
    # The normalisation of DenseNet.
    ("torch", "RGB", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375), (40, 24)),
    # BGR with a different std for each channel, which no known network has.
    ("both", "BGR", (100.0, 110.0, 120.0), (30.0, 50.0, 70.0), (32, 32)),
)


def _network(size: tuple[int, int], std: float):
    import tensorflow as tf

    tf.keras.utils.set_random_seed(0)
    layers = tf.keras.layers
    # Its weights are scaled so that activations have the same range for every normalisation.
    first = layers.Conv2D(16, 3, strides=2, activation="relu6")
    network = tf.keras.Sequential(
        [
            tf.keras.Input((*size, 3)),
            first,
            layers.Conv2D(_WIDTH, 3, strides=2, activation="relu6"),
            layers.GlobalAveragePooling2D(),
        ]
    )
    kernel, bias = first.get_weights()
    first.set_weights([kernel * std / 60, bias + 0.3])
    return network


def _load(path: Path) -> Runtime:
    return classifier_file.load(path, lambda name: None)


class BackboneExportsTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.made = {name: cls.make(name, *kind) for name, *kind in _KINDS}

    @classmethod
    def make(cls, name, order, mean, std, size):
        """Returns a classifier, images, their files, and their probabilities."""
        folder = cls.folder / name
        folder.mkdir()
        network = _network(size, float(np.mean(std)))
        graph, flatbuffer = folder / "graph.pb", folder / "network.tflite"
        graph.write_bytes(
            freeze.to_graph(network, mean, std, channel_order=order).SerializeToString()
        )
        flatbuffer.write_bytes(tflite_conversion.convert_keras(network))
        network.save(folder / "network.keras")
        described = {
            **dict(height=size[0], width=size[1], mean=mean, std=std, channel_order=order),
            **dict(fingerprint=name),
        }
        backbone = Backbone(
            **described,
            name=name,
            feature_width=_WIDTH,
            graph_file=graph,
            tflite_file=flatbuffer,
            keras_file=folder / "network.keras",
        )
        rng = np.random.default_rng(0)
        coarse = rng.integers(0, 256, (24, size[0] // 8, size[1] // 8, 3), np.uint8)
        images = coarse.repeat(8, 1).repeat(8, 2)
        files = []
        for number, image in enumerate(images):
            files.append(folder / f"{number}.png")
            Image.fromarray(image).save(files[-1])
        values = images.astype(np.float64)[..., :: -1 if order == "BGR" else 1]
        features = network((values - mean) / std).numpy()
        weights = rng.normal(0, 6, (_WIDTH, 3)).astype(np.float32)
        head = Head(weights, (-features.mean(0) @ weights).astype(np.float32))
        metadata = Metadata(
            **described,
            labels=_LABELS,
            folders=_LABELS,
            resize_method=pixels.RESIZE_METHOD,
            output="final_result",
            backbone=name,
            **dict(split={}, test_accuracy=None, training={}, versions={}),
        )
        quantised = quantise.to_int8(
            flatbuffer.read_bytes(), list(((values - mean) / std).astype(np.float32))
        )
        classifier = TrainedClassifier(backbone, head, metadata, quantised)
        return classifier, images, files, head.probabilities(features)

    def check(self, name, runtime, tolerance):
        _, images, files, expected = self.made[name]
        self.assertGreater(expected.std(0).min(), 0.1)
        np.testing.assert_allclose(runtime.run(images), expected, rtol=0, atol=tolerance)
        if runtime.takes_files:
            found = np.stack([runtime.run_file(file.read_bytes()) for file in files])
            np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)

    @parameterized.product(name=[kind[0] for kind in _KINDS], engine=["float32", "tensorflow"])
    def test_engines_match_keras(self, name, engine):
        classifier, images, _, expected = self.made[name]
        runner = engines.create(engine, classifier.backbone).load()
        found = classifier.head.probabilities(runner.run(images))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)

    @parameterized.product(
        name=[kind[0] for kind in _KINDS],
        kind=[
            (frozen_graph.write, "graph.pb", _load),
            (saved_model.write, "saved", saved_model_folder.load),
            (keras_file.write, "model.keras", keras_file.load),
        ],
    )
    def test_tensorflow_files(self, name, kind):
        write, file, load = kind
        path = Path(self.create_tempdir().full_path) / file
        if not path.suffix:
            path.mkdir()
        write(path, self.made[name][0])
        self.check(name, load(path), 1e-3)

    @parameterized.product(
        name=[kind[0] for kind in _KINDS],
        kind=[
            ("none", "uint8", 1e-3),
            ("none", "float32", 1e-3),
            ("float16", "uint8", 0.03),
            ("dynamic", "float32", 0.2),
            ("int8", "uint8", 0.25),
        ],
    )
    def test_tflite_files(self, name, kind):
        quantization, input_type, tolerance = kind
        path = Path(self.create_tempdir().full_path) / "model.tflite"
        tflite.write(path, self.made[name][0], TFLiteOptions(quantization, input_type))
        self.check(name, _load(path), tolerance)

    @parameterized.product(
        name=[kind[0] for kind in _KINDS],
        kind=[
            ("model.mlpackage", "float32", 1e-3),
            ("model.mlpackage", "float16", 0.05),
            ("model.mlmodel", "float32", 1e-3),
        ],
    )
    def test_core_ml_files(self, name, kind):
        file, precision, tolerance = kind
        path = Path(self.create_tempdir().full_path) / file
        if path.suffix == coreml_options.ML_PROGRAM_SUFFIX:
            path.mkdir()
        options = dataclasses.replace(CoreMLOptions(), precision=precision)
        coreml.write(path, self.made[name][0], options)
        self.check(name, coreml.load(path), tolerance)


if __name__ == "__main__":
    absltest.main()

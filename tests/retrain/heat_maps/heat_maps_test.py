"""The mean of a heat map is the logit of its class, for every file format."""

import dataclasses
import shutil
import tempfile
from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized

from retrain.backbones import efficientnet_lite0, quantise, tflite_conversion
from retrain.data import pixels
from retrain.export import frozen_graph, keras_file, saved_model, tflite
from retrain.heat_maps.heat_maps import HeatMaps, load
from retrain.heat_maps.pooled_layers import NoHeatMapError
from retrain.output_options import TFLiteOptions
from retrain.runtimes import classifier_file
from retrain.runtimes.head import softmax
from retrain.runtimes.preprocessing import Preprocessing
from retrain.runtimes.runtime import ModelError, NetworkOverrides
from tests.support import old_graphs, sample_classifier, small_keras

_CLASSES = np.arange(3)


def _probabilities(maps: np.ndarray) -> np.ndarray:
    """Returns the probabilities that follow from the heat maps of all classes, [N, 3, h, w]."""
    return softmax(maps.mean((2, 3)))


class HeatMapsTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.classifier = sample_classifier.classifier()
        photos = sorted(Path("examples/blocks").rglob("*.jpg"))[::50]
        cls.photos = np.stack([pixels.decode(p.read_bytes(), 224, 224) for p in photos])
        cls.all_classes = np.tile(_CLASSES, (len(photos), 1))
        cls.graph = cls.folder / "graph.pb"
        frozen_graph.write(cls.graph, cls.classifier)

    def assert_means_are_logits(self, path: Path, *, atol: float = 1e-5, **overrides) -> HeatMaps:
        runtime = classifier_file.load(
            path, efficientnet_lite0.find, overrides=NetworkOverrides(**overrides)
        )
        heat_maps = HeatMaps(runtime)
        maps = heat_maps.compute(self.photos, self.all_classes)
        self.assertEqual(maps.shape, (len(self.photos), 3, 14, 14))
        self.assertGreater(maps.std((2, 3)).min(), 0.01, "the maps vary")
        np.testing.assert_allclose(_probabilities(maps), runtime.run(self.photos), atol=atol)
        return heat_maps

    def test_frozen_graphs(self):
        self.assert_means_are_logits(self.graph)

    def test_frozen_graphs_in_a_session(self):
        self.assert_means_are_logits(self.graph, output_layer="final_result")

    @parameterized.parameters("none", "float16", "dynamic")
    def test_tflite_files(self, quantization: str):
        path = self.folder / "model.tflite"
        tflite.write(path, self.classifier, TFLiteOptions(quantization))
        self.assert_means_are_logits(path)

    def test_tflite_files_of_integers(self):
        backbone = self.classifier.backbone
        network = quantise.to_int8(
            backbone.read_tflite(), Preprocessing.of(backbone).apply(self.photos)
        )
        classifier = dataclasses.replace(self.classifier, int8_network=network)
        path = self.folder / "int8.tflite"
        tflite.write(path, classifier, TFLiteOptions("int8"))
        # The features are rounded to 256 values after they are averaged.
        self.assert_means_are_logits(path, atol=0.05)

    def test_keras_files(self):
        path = self.folder / "model.keras"
        keras_file.write(path, self.classifier)
        self.assert_means_are_logits(path)

    def test_saved_models(self):
        path = self.folder / "saved"
        saved_model.write(path, self.classifier)
        self.assert_means_are_logits(path)

    def test_networks_that_take_bgr(self):
        path = self.folder / "bgr.pb"
        frozen_graph.write(path, sample_classifier.classifier(channel_order="BGR"))
        self.assert_means_are_logits(path)

    def test_heads_for_the_bottleneck_only(self):
        weights = self.classifier.head.weights.copy()
        weights[self.classifier.backbone.bottleneck_width :] = 0
        head = dataclasses.replace(self.classifier.head, weights=weights)
        path = self.folder / "bottleneck.pb"
        frozen_graph.write(path, dataclasses.replace(self.classifier, head=head))
        heat_maps = load(path, efficientnet_lite0.find)
        maps = heat_maps.compute(self.photos, self.all_classes)
        self.assertEqual(maps.shape[2:], (7, 7))

    def test_one_class_for_each_image(self):
        heat_maps = load(self.graph, efficientnet_lite0.find)
        every = heat_maps.compute(self.photos, self.all_classes)
        some = heat_maps.compute(self.photos, np.array([2, 0, 1]))
        np.testing.assert_allclose(some, every[np.arange(3), [2, 0, 1]], atol=1e-4)

    def test_images_of_another_size_are_refused(self):
        heat_maps = load(self.graph, efficientnet_lite0.find)
        with self.assertRaises(ModelError):
            heat_maps.compute(self.photos[:, :100], self.all_classes)

    def test_graphs_of_2015_that_take_files(self):
        path = old_graphs.write(
            self.folder / "inception.pb", old_graphs.retrained(old_graphs.inception())
        )
        runtime = classifier_file.load(path, efficientnet_lite0.find)
        self.assertFalse(runtime.takes_pixels)
        data = Path("examples/blocks/ones/ones_001.jpg").read_bytes()
        maps = HeatMaps(runtime).compute_file(data, _CLASSES)
        self.assertEqual(maps.shape, (3, 15, 15))
        probabilities = _probabilities(maps[np.newaxis])[0]
        np.testing.assert_allclose(probabilities, runtime.run_file(data), atol=1e-5)
        with self.assertRaises(ModelError):
            HeatMaps(runtime).compute(self.photos, self.all_classes)

    def test_a_network_that_flattens_its_last_layer_is_refused(self):
        path = small_keras.write_frozen_graph(self.folder / "flat.pb", small_keras.build_model())
        with self.assertRaisesRegex(NoHeatMapError, "MaxPool.* comes before the scores"):
            load(path, efficientnet_lite0.find)

    def test_tflite_files_of_others_that_flatten_are_refused(self):
        path = self.folder / "flat.tflite"
        path.write_bytes(tflite_conversion.convert_keras(small_keras.build_model()))
        with self.assertRaisesRegex(NoHeatMapError, "MAX_POOL_2D.* comes before the scores"):
            load(path, efficientnet_lite0.find)

    def test_tflite_files_of_others_that_average_have_heat_maps(self):
        from tensorflow import keras

        model = keras.Sequential(
            [
                keras.Input((32, 32, 3)),
                keras.layers.Conv2D(5, 3, activation="relu"),
                keras.layers.GlobalAveragePooling2D(),
                keras.layers.Dropout(0.5),
                keras.layers.Dense(3, activation="softmax"),
            ]
        )
        path = self.folder / "average.tflite"
        path.write_bytes(tflite_conversion.convert_keras(model))
        runtime = classifier_file.load(path, efficientnet_lite0.find)
        small = self.photos[:, :32, :32]
        maps = HeatMaps(runtime).compute(small, self.all_classes)
        self.assertEqual(maps.shape[2:], (30, 30))
        np.testing.assert_allclose(_probabilities(maps), runtime.run(small), atol=1e-5)


if __name__ == "__main__":
    absltest.main()

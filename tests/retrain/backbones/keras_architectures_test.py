"""The rows of the table agree with the code of Keras."""

import inspect
import re
import sys
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized

from retrain.backbones import keras_applications
from retrain.backbones.keras_architectures import ARCHITECTURES, MOBILENET_PATTERN, NAMES
from retrain.runtimes.preprocessing import normalise

# Networks with more than one layer for ImageNet's classes.
_LARGER_TOPS = ("mobilenet_v3_small", "mobilenet_v3_large", "vgg16")


class KerasArchitecturesTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        from tensorflow import keras

        cls.keras = keras
        rng = np.random.default_rng(0)
        cls.images = rng.integers(0, 256, (2, 8, 8, 3), np.uint8)

    def tearDown(self):
        super().tearDown()
        self.keras.backend.clear_session()

    def build_with_keras(self, architecture):
        """Returns the network that Keras builds for published weights, and their download.

        The download consists of the file name, the address and the hash.
        """
        builder = getattr(self.keras.applications, architecture.builder)
        calls = []
        files = sys.modules["keras.src.utils.file_utils"]
        with (
            mock.patch.object(files, "get_file", lambda *a, **k: calls.append((a, k))),
            mock.patch.object(self.keras.Model, "load_weights", lambda *_: None),
        ):
            arguments = {k: v for k, v in architecture.arguments.items() if k == "alpha"}
            network = builder(
                include_top=False,
                pooling="avg",
                input_shape=(architecture.image_size, architecture.image_size, 3),
                **arguments,
            )
        ((positional, named),) = calls
        origin = positional[1] if len(positional) > 1 else named["origin"]
        return network, (positional[0], origin, named.get("file_hash"))

    def preprocess_with_keras(self, architecture, network):
        builder = getattr(self.keras.applications, architecture.builder)
        layers = [
            layer
            for layer in network.layers[:4]
            if type(layer).__name__ in ("Rescaling", "Normalization", "PreStem")
        ]
        values = self.images.astype(np.float32)
        if not layers:
            return sys.modules[builder.__module__].preprocess_input(values)
        size = architecture.image_size
        values = np.resize(values, (2, size, size, 3))
        return self.keras.Model(network.input, layers[-1].output)(values).numpy()

    @parameterized.parameters(*ARCHITECTURES)
    def test_a_row_agrees_with_keras(self, name):
        architecture = ARCHITECTURES[name]
        network, download = self.build_with_keras(architecture)
        self.assertEqual(download, (architecture.file_name, architecture.url, architecture.digest))
        self.assertEqual(network.output_shape, (None, architecture.feature_width))
        self.assertEqual(network.count_params(), architecture.parameters)
        expected = self.preprocess_with_keras(architecture, network)
        images = np.resize(self.images, expected.shape)
        if architecture.normalisation.channel_order == "BGR":
            images = images[..., ::-1]
        actual = normalise(images, architecture.normalisation.mean, architecture.normalisation.std)
        np.testing.assert_allclose(actual, expected, atol=2e-6 * np.abs(expected).max())

    @parameterized.parameters(*ARCHITECTURES)
    def test_built_in_preprocessing_is_turned_off(self, name):
        architecture = ARCHITECTURES[name]
        builder = getattr(self.keras.applications, architecture.builder)
        can_have = "include_preprocessing" in inspect.signature(builder).parameters
        self.assertEqual(can_have, "include_preprocessing" in architecture.arguments)

    @parameterized.parameters(*_LARGER_TOPS, "mobilenet_0.25_128")
    def test_the_number_of_parameters_with_the_top_agrees_with_keras(self, name):
        architecture = ARCHITECTURES[name]
        expected = keras_applications.build_model(architecture, include_top=True).count_params()
        self.assertEqual(architecture.parameters_with_top, expected)

    def test_the_pattern_stands_for_all_unlisted_names(self):
        prefix, widths, _, sizes, _ = re.split("[<>]", MOBILENET_PATTERN)
        names = {f"{prefix}{w}_{s}" for w in widths.split("|") for s in sizes.split("|")}
        self.assertEqual(names, set(ARCHITECTURES) - set(NAMES))

    def test_the_number_of_parameters_identifies_a_network(self):
        numbers = {}
        for name, architecture in ARCHITECTURES.items():
            family = name.rpartition("_")[0] if name not in NAMES else name
            numbers.setdefault(family, set()).update(
                (architecture.parameters, architecture.parameters_with_top)
            )
        all_numbers = [number for family in numbers.values() for number in family]
        self.assertLen(set(all_numbers), len(all_numbers))


if __name__ == "__main__":
    absltest.main()

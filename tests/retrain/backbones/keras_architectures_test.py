"""Every row of the table says what Keras itself says of the network."""

import inspect
import re
import sys
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized

from retrain.backbones import keras_applications
from retrain.backbones.keras_architectures import ARCHITECTURES, MOBILENET_PATTERN, NAMES
from retrain.data import pixels

# Of these, more than one layer is for ImageNet's classes.
_LARGER_TOPS = ("mobilenet_v3_small", "mobilenet_v3_large", "vgg16")
_CLASSES = 1000


class KerasTableTest(parameterized.TestCase):
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

    def built_by_keras(self, application):
        """Returns what Keras builds for its own weights, and what it would download for that."""
        builder = getattr(self.keras.applications, application.builder)
        asked = []
        files = sys.modules["keras.src.utils.file_utils"]
        with (
            mock.patch.object(files, "get_file", lambda *a, **k: asked.append((a, k))),
            mock.patch.object(self.keras.Model, "load_weights", lambda *_: None),
        ):
            arguments = {k: v for k, v in application.arguments.items() if k == "alpha"}
            network = builder(
                include_top=False,
                pooling="avg",
                input_shape=(application.side, application.side, 3),
                **arguments,
            )
        ((positional, named),) = asked
        origin = positional[1] if len(positional) > 1 else named["origin"]
        return network, (positional[0], origin, named.get("file_hash"))

    def preprocessed_by_keras(self, application, network):
        builder = getattr(self.keras.applications, application.builder)
        inside = [
            layer
            for layer in network.layers[:4]
            if type(layer).__name__ in ("Rescaling", "Normalization", "PreStem")
        ]
        values = self.images.astype(np.float32)
        if not inside:
            return sys.modules[builder.__module__].preprocess_input(values)
        side = application.side
        values = np.resize(values, (2, side, side, 3))
        return self.keras.Model(network.input, inside[-1].output)(values).numpy()

    @parameterized.parameters(*ARCHITECTURES)
    def test_a_row_is_what_keras_has(self, name):
        application = ARCHITECTURES[name]
        network, download = self.built_by_keras(application)
        self.assertEqual(download, (application.file, application.url, application.digest))
        self.assertEqual(network.output_shape, (None, application.feature_width))
        self.assertEqual(network.count_params(), application.parameters)
        expected = self.preprocessed_by_keras(application, network)
        images = np.resize(self.images, expected.shape)
        if application.scaling.channel_order == "BGR":
            images = images[..., ::-1]
        found = pixels.normalise(images, application.scaling.mean, application.scaling.std)
        np.testing.assert_allclose(found, expected, atol=2e-6 * np.abs(expected).max())

    @parameterized.parameters(*ARCHITECTURES)
    def test_the_network_has_no_preprocessing_of_its_own(self, name):
        application = ARCHITECTURES[name]
        builder = getattr(self.keras.applications, application.builder)
        can_have = "include_preprocessing" in inspect.signature(builder).parameters
        self.assertEqual(can_have, "include_preprocessing" in application.arguments)

    @parameterized.parameters(*ARCHITECTURES)
    def test_the_parameters_with_the_top_are_those_of_keras(self, name):
        application = ARCHITECTURES[name]
        if name in _LARGER_TOPS:
            found = keras_applications.build_model(application, include_top=True).count_params()
        else:
            found = application.parameters + (application.feature_width + 1) * _CLASSES
        self.assertEqual(application.parameters_with_top, found)

    def test_the_pattern_stands_for_the_names_that_are_not_listed(self):
        begin, widths, _, sides, _ = re.split("[<>]", MOBILENET_PATTERN)
        names = {f"{begin}{w}_{s}" for w in widths.split("|") for s in sides.split("|")}
        self.assertEqual(names, set(ARCHITECTURES) - set(NAMES))

    def test_networks_are_told_apart_by_the_number_of_their_parameters(self):
        numbers = {}
        for name, application in ARCHITECTURES.items():
            family = name.rpartition("_")[0] if name not in NAMES else name
            numbers.setdefault(family, set()).update(
                (application.parameters, application.parameters_with_top)
            )
        together = [number for of_family in numbers.values() for number in of_family]
        self.assertLen(set(together), len(together))


if __name__ == "__main__":
    absltest.main()

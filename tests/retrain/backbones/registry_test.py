"""Options name one network, and contradictions are reported."""

import dataclasses
from pathlib import Path

from absl.testing import absltest, parameterized

from retrain.backbones import efficientnet_lite0, keras_architectures, registry
from retrain.config import BackboneOptions
from retrain.errors import UserError

_NO_CACHE = Path("/none")


class NamesTest(absltest.TestCase):
    def test_the_default_comes_first(self):
        self.assertEqual(registry.architecture_names()[0], registry.DEFAULT)

    def test_keras_architectures_and_the_mobilenet_pattern_are_listed(self):
        names = registry.architecture_names()
        self.assertContainsSubset(keras_architectures.NAMES, names)
        self.assertEqual(names[-1], keras_architectures.MOBILENET_PATTERN)


class ResolveTest(parameterized.TestCase):
    def refused(self, reason, **options):
        with self.assertRaisesRegex(UserError, reason) as caught:
            registry.resolve(BackboneOptions(**options), _NO_CACHE)
        self.assertNotIn("\n", str(caught.exception))

    def test_the_default_is_the_bundled_network(self):
        self.assertEqual(registry.resolve(BackboneOptions(), _NO_CACHE), efficientnet_lite0.load())

    @parameterized.parameters("crop", "pad", "stretch")
    def test_images_are_fitted_as_requested(self, fit):
        backbone = registry.resolve(BackboneOptions(fit=fit), _NO_CACHE)
        self.assertEqual(backbone, dataclasses.replace(efficientnet_lite0.load(), fit=fit))
        last_layer = registry.resolve(BackboneOptions(fit=fit, uses_stages=False), _NO_CACHE)
        self.assertEqual(last_layer, backbone.without_stages())
        self.assertEqual(last_layer.with_stages().fit, fit)

    @parameterized.parameters("vgg99", "mobilenet_1.0_225", "mobilenet_1.0_224_int8", "")
    def test_known_names_are_listed_for_an_unknown_one(self, name):
        self.refused(
            f"--architecture={name} is not known.*inception_v3.*mobilenet_<1.0", architecture=name
        )

    def test_the_bundled_network_has_its_own_weights(self):
        self.refused(
            "--weights=/w.h5 is for networks whose weights.*--architecture=efficientnet_lite0",
            weights=Path("/w.h5"),
        )

    @parameterized.parameters("model_dir", "tfhub_module")
    def test_weights_are_for_keras_networks_only(self, flag):
        value = Path("/g") if flag == "model_dir" else "/m"
        self.refused(
            f"--weights=/w.h5 is for Keras networks.*only one of --weights and --{flag}",
            weights=Path("/w.h5"),
            **{flag: value},
        )

    @parameterized.parameters("model_dir", "tfhub_module")
    def test_an_input_size_is_for_architectures_only(self, flag):
        value = Path("/g") if flag == "model_dir" else "/m"
        self.refused(
            f"--input_size=300 is for networks.*--input_height and --input_width with --{flag}",
            input_size=300,
            **{flag: value},
        )

    def test_two_networks_are_refused(self):
        self.refused(
            "--tfhub_module=/m names a network, and so does --architecture=vgg16",
            tfhub_module="/m",
            architecture="vgg16",
        )
        self.refused(
            "--tfhub_module=/m names a network, and so does --model_dir",
            tfhub_module="/m",
            model_dir=Path("/g"),
        )
        self.refused(
            "--model_dir=/g is for frozen graphs, which do not exist for --architecture=vgg16",
            model_dir=Path("/g"),
            architecture="vgg16",
        )

    @parameterized.parameters(
        ({"input_layer": "Mul"}, "--input_layer needs --model_dir, which"),
        ({"bottleneck_layer": "x"}, "--bottleneck_layer needs --model_dir, which"),
        ({"bottleneck_layer": "x", "tfhub_module": "/m"}, "--bottleneck_layer needs --model_dir"),
        ({"input_height": 3}, "--input_height needs --model_dir or --tfhub_module"),
        ({"input_std": (1.0,) * 3}, "--input_std needs --model_dir or --tfhub_module"),
    )
    def test_options_for_other_networks_are_refused(self, options, reason):
        self.refused(reason, **options)


if __name__ == "__main__":
    absltest.main()

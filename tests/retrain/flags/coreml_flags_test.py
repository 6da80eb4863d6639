"""Tests that the flags for Core ML files become options."""

import dataclasses
from pathlib import Path

from absl.testing import absltest, flagsaver

from retrain.flags import coreml_flags
from retrain.output_options import CoreMLOptions

_FLAGS = {
    "coreml_precision": "float32",
    "coreml_input": "photo",
    "coreml_probabilities": "scores",
    "coreml_author": "Ada",
    "coreml_license": "MIT",
    "coreml_version": "2.1",
    "coreml_description": "Three colours.",
    "coreml_input_description": "A photo.",
    "coreml_label_description": "The colour.",
    "coreml_probabilities_description": "Scores of the colours.",
}


class CoreMLFlagsTest(absltest.TestCase):
    def test_defaults(self):
        self.assertIsNone(coreml_flags.coreml_file())
        self.assertEqual(coreml_flags.parse_options(), CoreMLOptions())

    @flagsaver.flagsaver(coreml_file="/models/x.mlmodel")
    def test_path(self):
        self.assertEqual(coreml_flags.coreml_file(), Path("/models/x.mlmodel"))

    @flagsaver.flagsaver(**_FLAGS)
    def test_every_option_has_a_flag(self):
        expected = CoreMLOptions(
            precision="float32",
            input_name="photo",
            probabilities_name="scores",
            author="Ada",
            license="MIT",
            version="2.1",
            description="Three colours.",
            input_description="A photo.",
            label_description="The colour.",
            probabilities_description="Scores of the colours.",
        )
        self.assertEqual(coreml_flags.parse_options(), expected)
        defaults = dataclasses.asdict(CoreMLOptions())
        for name, value in dataclasses.asdict(expected).items():
            self.assertNotEqual(value, defaults[name], name)


if __name__ == "__main__":
    absltest.main()

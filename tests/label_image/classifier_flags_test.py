"""The flags that programs share belong to each program, and override what a file states."""

import sys
from pathlib import Path

from absl import flags
from absl.testing import absltest

from label_image import classifier_flags
from label_image.classifier import NO_OVERRIDES, Overrides
from retrain.errors import UserError

_NAMES = ("graph", "labels", "fit", "input_mean", "input_std", "unknown_below")


class ClassifierFlagsTest(absltest.TestCase):
    def define(self, *arguments: str, **options) -> classifier_flags.ClassifierFlags:
        defined = classifier_flags.define(**options)
        for name in _NAMES:
            if name in flags.FLAGS:
                self.addCleanup(delattr, flags.FLAGS, name)
        flags.FLAGS([sys.argv[0], *arguments])
        return defined

    def test_the_flags_belong_to_the_program_that_defines_them(self):
        self.define()
        own = flags.FLAGS.get_key_flags_for_module(sys.argv[0])
        self.assertContainsSubset([*_NAMES, "trust_model"], [flag.name for flag in own])

    def test_without_flags_nothing_is_overridden(self):
        self.assertEqual(self.define().overrides(), NO_OVERRIDES)

    def test_flags_override_what_the_file_states(self):
        defined = self.define(
            *("--graph=/x.tflite", "--labels=/x.txt", "--fit=crop", "--unknown_below=0.2"),
            *("--input_mean=127.5", "--input_std=1"),
        )
        self.assertEqual(defined.graph_path(), Path("/x.tflite"))
        self.assertEqual(
            defined.overrides(),
            Overrides(labels_file=Path("/x.txt"), fit="crop", mean=127.5, std=1, unknown_below=0.2),
        )

    def test_a_program_can_have_no_unknown_images(self):
        defined = self.define(finds_unknown_images=False)
        self.assertNotIn("unknown_below", flags.FLAGS)
        self.assertIsNone(defined.overrides().unknown_below)

    def test_a_std_of_zero_is_refused(self):
        with self.assertRaisesRegex(UserError, "^--input_std=0 would divide by zero; give the"):
            self.define("--input_std=0").overrides()


if __name__ == "__main__":
    absltest.main()

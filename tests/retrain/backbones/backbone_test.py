"""The TFLite file of a backbone is read, and a missing one is a user error."""

import dataclasses

from absl.testing import absltest

from retrain.backbones import efficientnet_lite0
from retrain.errors import UserError


class ReadTFLiteTest(absltest.TestCase):
    def test_the_content_of_the_file_is_returned(self):
        backbone = efficientnet_lite0.load()
        self.assertEqual(backbone.read_tflite(), backbone.tflite_file.read_bytes())

    def test_a_missing_file_is_a_user_error_with_the_name(self):
        backbone = dataclasses.replace(efficientnet_lite0.load(), tflite_file=None, name="odd")
        with self.assertRaisesRegex(UserError, "does not support all operations of odd"):
            backbone.read_tflite()


if __name__ == "__main__":
    absltest.main()

"""Tests that a tensor inside a TFLite file becomes its second output."""

import struct

import numpy as np
from absl.testing import absltest

from retrain.export import tflite
from retrain.metadata import TFLITE_FEATURES
from retrain.output_options import TFLiteOptions
from retrain.runtimes.flatbuffer_table import FlatbufferError
from retrain.runtimes.litert import LiteRTModel
from retrain.runtimes.tflite_outputs import add_output
from tests.support import sample_classifier


class AddOutputTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.classifier = sample_classifier.classifier()
        cls.file = tflite.to_bytes(cls.classifier, TFLiteOptions("none", "uint8"))

    def test_both_outputs_are_computed(self):
        extended = add_output(self.file, TFLITE_FEATURES)
        self.assertLess(len(extended), len(self.file) + 20)
        images = sample_classifier.images(1)
        expected = sample_classifier.features(images)
        scores, features = LiteRTModel(extended, output_count=2).run_all(images)
        np.testing.assert_allclose(features, expected, atol=1e-3)
        np.testing.assert_array_equal(scores, LiteRTModel(self.file).run(images))

    def test_only_a_file_with_that_tensor_and_one_output_is_extended(self):
        self.assertIsNone(add_output(self.file, "no tensor"))
        extended = add_output(self.file, TFLITE_FEATURES)
        self.assertIsNone(add_output(extended, TFLITE_FEATURES))

    def test_damaged_files(self):
        with self.assertRaises(FlatbufferError):
            add_output(struct.pack("<I", 2**31) + b"TFL3", TFLITE_FEATURES)


if __name__ == "__main__":
    absltest.main()

"""Examples are sampled by class, and large arrays of images are kept in a file."""

import numpy as np
from absl.testing import absltest

from retrain.errors import UserError
from tools.keras_training import examples
from tools.keras_training.examples import Examples, TrainingData
from tools.keras_training.image_shape import ImageShape


class ExamplesTest(absltest.TestCase):
    def test_sample_has_about_as_many_examples_of_each_class(self):
        class_ids = np.array([0] * 50 + [1] * 3 + [2] * 50)
        sample = Examples(np.arange(103), class_ids).sample(13)
        self.assertEqual(np.bincount(sample.class_ids).tolist(), [5, 3, 5])
        np.testing.assert_array_equal(class_ids[sample.inputs], sample.class_ids)
        self.assertLen(Examples(np.arange(103), class_ids).sample(200).inputs, 103)

    def test_fingerprint_depends_on_labels_inputs_and_classes(self):
        def fingerprint(labels=("a", "b"), dtype=np.uint8, pixel=0, class_id=0) -> str:
            inputs = np.arange(12, dtype=dtype).reshape(3, 2, 2, 1)
            inputs[0] += pixel
            one = Examples(inputs, np.array([0, 1, class_id]))
            return TrainingData(labels, labels, one, one, one).fingerprint()

        others = [dict(labels=("a", "c")), dict(dtype=np.uint16), dict(pixel=1), dict(class_id=1)]
        self.assertLen({fingerprint(), *(fingerprint(**other) for other in others)}, 5)
        # The value in `run.json` must stay the same in later versions.
        expected = "6508c16998e23e0275a9af90987cbd787f1eebfaf210c262dd7a0c1c796b8201"
        self.assertEqual(fingerprint(), expected)


class AllocateImagesTest(absltest.TestCase):
    def test_small_array_is_in_memory(self):
        images = examples.allocate_images(3, ImageShape(2, 5, 3))
        self.assertEqual((images.shape, images.dtype), ((3, 2, 5, 3), np.uint8))
        self.assertNotIsInstance(images, np.memmap)

    def test_large_array_is_in_a_file(self):
        self.enter_context(absltest.mock.patch.object(examples, "_MAX_BYTES_IN_MEMORY", 29))
        images = examples.allocate_images(3, ImageShape(2, 5, 1))
        self.assertIsInstance(images, np.memmap)
        expected = np.arange(30, dtype=np.uint8).reshape(3, 2, 5, 1)
        images[:] = expected
        np.testing.assert_array_equal(images, expected)

    def test_full_disk_is_an_error(self):
        self.enter_context(absltest.mock.patch.object(examples, "_MAX_BYTES_IN_MEMORY", 29))
        full = OSError(28, "No space left on device")
        self.enter_context(
            absltest.mock.patch.object(examples.tempfile, "TemporaryFile", side_effect=full)
        )
        with self.assertRaisesRegex(UserError, "No space left on device; .*TMPDIR"):
            examples.allocate_images(3, ImageShape(2, 5, 1))


if __name__ == "__main__":
    absltest.main()

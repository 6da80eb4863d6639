"""Input pipelines contain every example once, in an order that seed and epoch determine."""

import numpy as np
from absl.testing import absltest

from tools.keras_training import input_pipeline
from tools.keras_training.examples import Examples
from tools.keras_training.options import Augmentation

_NONE = Augmentation()
_ALL = Augmentation(
    random_shift=10,
    random_rotation=15,
    random_scale=10,
    random_brightness=10,
    flip_left_right=True,
)


def _numbered_examples(count: int) -> Examples:
    """Returns examples whose pixels are their index."""
    indices = np.arange(count)
    inputs = np.broadcast_to(indices[:, None, None, None], (count, 4, 4, 1)).astype(np.uint8)
    return Examples(inputs, indices % 3)


def _batches(epochs: range, *, seed: int = 0, augmentation: Augmentation = _NONE) -> list:
    dataset = input_pipeline.training_batches(
        _numbered_examples(20),
        classes=3,
        batch_size=8,
        epochs=epochs,
        seed=seed,
        augmentation=augmentation,
    )
    return [(inputs.numpy(), targets.numpy()) for inputs, targets in dataset]


class InputPipelineTest(absltest.TestCase):
    def test_each_epoch_has_each_example_once_with_its_target(self):
        self.assertEqual(input_pipeline.steps_per_epoch(_numbered_examples(20), 8), 3)
        batches = _batches(range(2))
        self.assertEqual([len(targets) for _, targets in batches], [8, 8, 4] * 2)
        for epoch in (batches[:3], batches[3:]):
            indices = np.concatenate([inputs[:, 0, 0, 0] for inputs, _ in epoch])
            targets = np.concatenate([targets for _, targets in epoch])
            self.assertCountEqual(indices.tolist(), range(20))
            np.testing.assert_array_equal(targets, np.eye(3)[indices % 3])
        self.assertFalse(np.array_equal(batches[0][0], batches[3][0]))

    def test_an_epoch_does_not_depend_on_earlier_epochs(self):
        for augmentation in (_NONE, _ALL):
            all_epochs = _batches(range(3), augmentation=augmentation)
            last_epoch = _batches(range(2, 3), augmentation=augmentation)
            for expected, actual in zip(all_epochs[6:], last_epoch, strict=True):
                np.testing.assert_array_equal(actual[0], expected[0])
                np.testing.assert_array_equal(actual[1], expected[1])

    def test_another_seed_produces_another_order(self):
        first, second = _batches(range(1)), _batches(range(1), seed=1)
        self.assertFalse(np.array_equal(first[0][0], second[0][0]))

    def test_validation_examples_keep_their_order(self):
        dataset = input_pipeline.validation_batches(_numbered_examples(20), classes=3, batch_size=8)
        indices = np.concatenate([inputs.numpy()[:, 0, 0, 0] for inputs, _ in dataset])
        np.testing.assert_array_equal(indices, np.arange(20))


if __name__ == "__main__":
    absltest.main()

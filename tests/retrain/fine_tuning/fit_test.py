"""A network learns in the layers that may, and nowhere else."""

import contextlib
import dataclasses
import logging
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized

from retrain.config import ALL_LAYERS, DistortionOptions, FineTuningOptions, SplitOptions
from retrain.data.dataset import scan_dataset
from retrain.data.splits import TRAINING, VALIDATION
from retrain.errors import UserError
from retrain.fine_tuning import fit, layers
from retrain.fine_tuning.fit import Lessons
from retrain.fine_tuning.variants import Images
from retrain.runtimes.head import Head
from tests.support import tiny_backbone, tunable_backbone

_SIDE = tiny_backbone.SIDE
_MILD = DistortionOptions(random_crop=10, random_brightness=10)


@contextlib.contextmanager
def _interrupted_after(epoch: int) -> Iterator[None]:
    class Interrupting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if f"epoch {epoch} of" in record.getMessage() and "goes on" not in record.getMessage():
                raise KeyboardInterrupt

    handler = Interrupting()
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)


class LearningTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.backbone = tunable_backbone.make(cls.folder)
        images = tunable_backbone.draw_stripes(cls.folder / "pictures")
        cls.dataset = scan_dataset(images, SplitOptions())

    def learn(
        self,
        count: int,
        seed: int = 0,
        checkpoint: Path | None = None,
        channel_order: str = "RGB",
        **options,
    ):
        """Returns the network, and how the training went."""
        checkpoint = checkpoint or Path(self.create_tempdir().full_path, "new", "epochs.npz")
        network = layers.load(self.backbone, count)
        if channel_order == "BGR":
            kernel, bias = network.layers[0].get_weights()
            network.layers[0].set_weights([kernel[:, :, ::-1], bias])
        images = self.dataset.split(TRAINING)
        history = fit.learn(
            network,
            Head(np.zeros((tiny_backbone.WIDTH, 3), np.float32), np.zeros(3, np.float32)),
            dataclasses.replace(self.backbone, channel_order=channel_order),
            Lessons(
                Images(images, _SIDE, _SIDE, _MILD),
                np.array([image.class_id for image in images]),
                np.ones(len(images), np.float32),
                self.dataset.split(VALIDATION),
            ),
            FineTuningOptions(**{"epochs": 1, "batch_size": 8, **options}),
            seed,
            checkpoint,
        )
        return network, history

    def weights(self, network) -> list[dict[str, bytes]]:
        return [
            {weight.name: weight.numpy().tobytes() for weight in layer.weights}
            for layer in network.layers
            if layer.weights
        ]

    @parameterized.parameters((1, [3]), (2, [1, 3]), (ALL_LAYERS, [0, 1, 3]))
    def test_no_weight_but_those_of_the_last_layers_changes(self, count: int, changed: list[int]):
        # A convolution, one of each channel, batch normalisation, a convolution.
        before = self.weights(tiny_backbone.network())
        after = self.weights(self.learn(count)[0])
        differ = [i for i, pair in enumerate(zip(before, after, strict=True)) if pair[0] != pair[1]]
        self.assertEqual(differ, changed)
        for index in changed:
            for name, values in after[index].items():
                self.assertNotEqual(values, before[index][name], name)

    def test_it_learns_what_the_network_could_not_tell(self):
        with self.assertLogs(level="INFO") as logs:
            _, history = self.learn(ALL_LAYERS, epochs=12, learning_rate=0.01)
        self.assertLen(logs.output, 12)
        numbers = re.findall(r"= ([\d.]+)", logs.output[0])
        learned, others = history.learned, history.others
        for number, measured, scale in zip(numbers, (*learned, *others), (100, 1) * 2, strict=True):
            self.assertAlmostEqual(float(number), scale * measured[0], delta=0.06)
        self.assertIn(" 0 s left", logs.output[-1])
        self.assertEqual(history.at, tuple(range(1, 13)))
        self.assertLess(learned.cross_entropy[-1], 0.5 * learned.cross_entropy[0])
        self.assertGreater(learned.accuracy[-1], learned.accuracy[0])
        # Of 0 to 1, and by its definition.
        self.assertBetween(max(others.accuracy), 0.5, 1.0)
        self.assertGreater(min(others.cross_entropy), 0.0)

    def test_the_same_seed_gives_the_same_network(self):
        networks = [self.learn(ALL_LAYERS, seed=seed) for seed in (1, 1, 2)]
        first, second, other = (self.weights(network) for network, _ in networks)
        self.assertEqual(first, second)
        self.assertNotEqual(first, other)
        self.assertEqual(networks[0][1], networks[1][1])

    def test_a_network_for_another_order_of_channels_sees_them_in_that_order(self):
        options = {"learning_rate": 0.01, "epochs": 2}
        _, history = self.learn(ALL_LAYERS, **options)
        _, of_swapped = self.learn(ALL_LAYERS, channel_order="BGR", **options)
        for found, expected in (
            (of_swapped.learned, history.learned),
            (of_swapped.others, history.others),
        ):
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)

    def test_one_that_was_stopped_goes_on_and_comes_to_the_same(self):
        whole, history = self.learn(ALL_LAYERS, epochs=3)
        file = Path(self.create_tempdir().full_path) / "epochs.npz"
        for epoch in (1, 2):
            with _interrupted_after(epoch), self.assertRaises(KeyboardInterrupt):
                self.learn(ALL_LAYERS, epochs=3, checkpoint=file)
        with self.assertLogs(level="INFO") as logs:
            resumed, course_of_resumed = self.learn(ALL_LAYERS, epochs=3, checkpoint=file)
        self.assertIn("goes on after epoch 2 of 3", logs.output[0])
        self.assertLen(logs.output, 2)
        self.assertEqual(self.weights(resumed), self.weights(whole))
        self.assertEqual(course_of_resumed, history)

    def test_a_damaged_file_is_no_reason_to_fail(self):
        file = Path(self.create_tempdir().full_path) / "epochs.npz"
        whole, _ = self.learn(ALL_LAYERS, checkpoint=file)
        content = file.read_bytes()
        of_other_layers = file.with_name("other.npz")
        self.learn(1, checkpoint=of_other_layers)
        for damaged in (b"", content[:-100], content[:1000], of_other_layers.read_bytes()):
            file.write_bytes(damaged)
            again, _ = self.learn(ALL_LAYERS, checkpoint=file)
            self.assertEqual(self.weights(again), self.weights(whole))

    def test_numbers_beyond_all_bounds_are_an_error(self):
        with self.assertRaisesRegex(UserError, "--fine_tune_epochs"):
            self.learn(ALL_LAYERS, learning_rate=1e30)

    @parameterized.parameters(4, 10**9)
    def test_more_layers_than_there_are(self, count: int):
        with self.assertRaisesRegex(UserError, f"--fine_tune_layers={count} is more than the 3 "):
            layers.load(self.backbone, count)


if __name__ == "__main__":
    absltest.main()

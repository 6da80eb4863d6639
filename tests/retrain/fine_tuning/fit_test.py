"""Fine-tuning changes the weights of the trainable layers only, and is reproducible."""

import contextlib
import dataclasses
import logging
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized

from retrain.config import SplitOptions
from retrain.data.dataset import scan_dataset
from retrain.data.splits import TRAINING, VALIDATION
from retrain.errors import UserError
from retrain.fine_tuning import activation_store, fit, layers
from retrain.fine_tuning.fit import TuningData
from retrain.fine_tuning.variants import VariantSource
from retrain.runtimes.head import Head
from retrain.training_options import ALL_LAYERS, AUTO, DistortionOptions, FineTuningOptions
from tests.support import tiny_backbone, tunable_backbone

_SIDE = tiny_backbone.SIDE
_MILD = DistortionOptions(random_crop=10, random_brightness=10)


@contextlib.contextmanager
def _interrupted_after(epoch: int) -> Iterator[None]:
    class Interrupting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if (
                f"epoch {epoch} of" in record.getMessage()
                and "continues" not in record.getMessage()
            ):
                raise KeyboardInterrupt

    handler = Interrupting()
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)


class FineTuneTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.backbone = tunable_backbone.make(cls.folder)
        images = tunable_backbone.draw_stripes(cls.folder / "pictures")
        cls.dataset = scan_dataset(images, SplitOptions())

    def fine_tune(
        self,
        count: int,
        seed: int = 0,
        checkpoint: Path | None = None,
        channel_order: str = "RGB",
        bfloat16: bool = False,
        **options,
    ):
        """Returns the network, and the history of its training."""
        checkpoint = checkpoint or Path(self.create_tempdir().full_path, "new", "epochs.npz")
        network = layers.load_trainable(self.backbone, count)
        if channel_order == "BGR":
            first = next(layer for layer in network.layers if layer.weights)
            kernel, bias = first.get_weights()
            first.set_weights([kernel[:, :, ::-1], bias])
        images = self.dataset.split(TRAINING)
        history = fit.fine_tune(
            network,
            Head(np.zeros((tiny_backbone.WIDTH, 3), np.float32), np.zeros(3, np.float32)),
            dataclasses.replace(self.backbone, channel_order=channel_order),
            TuningData(
                VariantSource(images, _SIDE, _SIDE, _MILD),
                np.array([image.class_id for image in images]),
                np.ones(len(images), np.float32),
                self.dataset.split(VALIDATION),
            ),
            options=FineTuningOptions(**{"epochs": 1, "batch_size": 8, **options}),
            seed=seed,
            checkpoint_file=checkpoint,
            bfloat16=bfloat16,
        )
        return network, history

    def weights(self, network) -> list[dict[str, bytes]]:
        return [
            {weight.name: weight.numpy().tobytes() for weight in layer.weights}
            for layer in network.layers
            if layer.weights
        ]

    @parameterized.parameters((1, [3]), (2, [1, 3]), (ALL_LAYERS, [0, 1, 3]))
    def test_only_the_weights_of_the_last_layers_change(self, count: int, changed: list[int]):
        # The layers are: convolution, depthwise convolution, batch normalisation, convolution.
        before = self.weights(tiny_backbone.build_network())
        after = self.weights(self.fine_tune(count)[0])
        differ = [i for i, pair in enumerate(zip(before, after, strict=True)) if pair[0] != pair[1]]
        self.assertEqual(differ, changed)
        for index in changed:
            for name, values in after[index].items():
                self.assertNotEqual(values, before[index][name], name)

    def test_it_learns_classes_that_the_pretrained_features_cannot_separate(self):
        with self.assertLogs(level="INFO") as logs:
            _, history = self.fine_tune(ALL_LAYERS, epochs=12, learning_rate=0.01)
        self.assertLen(logs.output, 12)
        numbers = re.findall(r"= ([\d.]+)", logs.output[0])
        train, validation = history.train, history.validation
        for number, measured, scale in zip(
            numbers, (*train, *validation), (100, 1) * 2, strict=True
        ):
            self.assertAlmostEqual(float(number), scale * measured[0], delta=0.06)
        self.assertIn(" 0 s left", logs.output[-1])
        self.assertEqual(history.at, tuple(range(1, 13)))
        self.assertLess(train.cross_entropy[-1], 0.5 * train.cross_entropy[0])
        self.assertGreater(train.accuracy[-1], train.accuracy[0])
        self.assertBetween(max(validation.accuracy), 0.5, 1.0)
        self.assertGreater(min(validation.cross_entropy), 0.0)

    def test_the_same_seed_gives_the_same_network(self):
        networks = [self.fine_tune(ALL_LAYERS, seed=seed) for seed in (1, 1, 2)]
        first, second, other = (self.weights(network) for network, _ in networks)
        self.assertEqual(first, second)
        self.assertNotEqual(first, other)
        self.assertEqual(networks[0][1], networks[1][1])

    def test_a_network_for_bgr_receives_bgr(self):
        options = {"learning_rate": 0.01, "epochs": 2}
        _, history = self.fine_tune(ALL_LAYERS, **options)
        _, bgr_history = self.fine_tune(ALL_LAYERS, channel_order="BGR", **options)
        for found, expected in (
            (bgr_history.train, history.train),
            (bgr_history.validation, history.validation),
        ):
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)

    @parameterized.parameters(
        (ALL_LAYERS, 3, False, (1, 2), 3),
        (1, 3, True, (1,), 3),
        # The decision is after epoch 4, where the distorted variants begin to repeat.
        (1, AUTO, False, (1, 3, 6), 8),
    )
    def test_an_interrupted_training_continues_with_the_same_result(
        self, count: int, epochs: int | str, bfloat16: bool, stops: tuple[int, ...], last: int
    ):
        options: dict[str, Any] = {"count": count, "epochs": epochs, "bfloat16": bfloat16}
        whole, history = self.fine_tune(**options)
        file = Path(self.create_tempdir().full_path) / "epochs.npz"
        for epoch in stops:
            with _interrupted_after(epoch), self.assertRaises(KeyboardInterrupt):
                self.fine_tune(**options, checkpoint=file)
        with self.assertLogs(level="INFO") as logs:
            resumed, resumed_history = self.fine_tune(**options, checkpoint=file)
        # TensorFlow also warns there, because a test creates many networks in one process.
        lines = [line for line in logs.output if line.startswith("INFO:root:")]
        self.assertIn(f"continues after epoch {stops[-1]} of {last}", lines[0])
        self.assertLen(lines, 1 + last - stops[-1])
        self.assertEqual(self.weights(resumed), self.weights(whole))
        self.assertEqual(resumed_history, history)

    def test_a_finished_training_is_not_continued(self):
        file = Path(self.create_tempdir().full_path) / "epochs.npz"
        options = {"count": 1, "epochs": AUTO, "checkpoint": file}
        whole, history = self.fine_tune(**options)
        with self.assertLogs(level="INFO") as logs:
            again, same_history = self.fine_tune(**options)
        self.assertFalse(any("Fine-tuning, epoch" in line for line in logs.output), logs.output)
        self.assertEqual(self.weights(again), self.weights(whole))
        self.assertEqual(same_history, history)

    def test_the_validation_loss_decides_when_to_stop(self):
        _, history = self.fine_tune(ALL_LAYERS, epochs=AUTO, learning_rate=0.0)
        # The epochs have 6 steps, so rounds have 2 epochs: 2 rounds without progress, 2 at the end.
        self.assertEqual(history.at, tuple(range(1, 9)))
        self.assertLen(set(history.validation.cross_entropy), 1)
        with self.assertLogs(level="INFO") as logs:
            _, history = self.fine_tune(ALL_LAYERS, epochs=AUTO, learning_rate=0.01)
        self.assertLess(history.validation.cross_entropy[-1], history.validation.cross_entropy[0])
        self.assertIn(f"epoch {len(history.at)} of {len(history.at)}: ", logs.output[-1])

    @parameterized.parameters((1, AUTO, 4), (ALL_LAYERS, AUTO, 8), (1, 6, 6))
    def test_variants_are_computed_once_if_they_repeat(
        self, count: int, epochs: int | str, expected: int
    ):
        with mock.patch.object(
            VariantSource, "variant", autospec=True, side_effect=VariantSource.variant
        ) as variant:
            self.fine_tune(count, epochs=epochs)
        self.assertEqual(variant.call_count, expected * len(self.dataset.split(TRAINING)))

    def test_without_space_on_the_disk_the_result_is_the_same(self):
        with_space, history = self.fine_tune(1, epochs=AUTO)
        with (
            mock.patch.object(activation_store, "_MAX_SHARE_OF_FREE_SPACE", 0.0),
            self.assertLogs(level="WARNING") as logs,
        ):
            without, same_history = self.fine_tune(1, epochs=AUTO)
        lines = [line for line in logs.output if "cannot hold" in line]
        self.assertLen(lines, 1)
        self.assertEqual(self.weights(without), self.weights(with_space))
        self.assertEqual(same_history, history)

    @parameterized.parameters(1, ALL_LAYERS)
    def test_bfloat16_gives_nearly_the_same_network_in_float32(self, count: int):
        options: dict[str, Any] = {"count": count, "epochs": 2, "learning_rate": 0.001}
        exact, exact_history = self.fine_tune(**options)
        network, history = self.fine_tune(**options, bfloat16=True)
        self.assertNotEqual(self.weights(network), self.weights(exact))
        for weight, other in zip(network.weights, exact.weights, strict=True):
            self.assertEqual(weight.dtype, "float32")
            np.testing.assert_allclose(weight.numpy(), other.numpy(), atol=0.01)
        for layer in network.layers:
            self.assertEqual(layer.dtype_policy.name, "float32")
        np.testing.assert_allclose(history.train, exact_history.train, atol=0.05)

    def test_damaged_checkpoint_is_refused(self):
        file = Path(self.create_tempdir().full_path) / "epochs.npz"
        self.fine_tune(ALL_LAYERS, checkpoint=file)
        content = file.read_bytes()
        of_other_layers = file.with_name("other.npz")
        self.fine_tune(1, checkpoint=of_other_layers)
        for damaged in (b"", content[:-100], content[:1000], of_other_layers.read_bytes()):
            file.write_bytes(damaged)
            with self.assertRaisesRegex(UserError, f"{file} is damaged .*; delete it"):
                self.fine_tune(ALL_LAYERS, checkpoint=file)

    def test_diverging_training_is_a_user_error(self):
        with self.assertRaisesRegex(UserError, "--fine_tune_epochs"):
            self.fine_tune(ALL_LAYERS, learning_rate=1e30)

    @parameterized.parameters(4, 10**9)
    def test_too_many_layers_are_refused(self, count: int):
        with self.assertRaisesRegex(UserError, f"--fine_tune_layers={count} is more than the 3 "):
            layers.load_trainable(self.backbone, count)


if __name__ == "__main__":
    absltest.main()

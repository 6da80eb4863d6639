"""Checkpoints restore what was saved, also by earlier versions, and damaged ones are refused."""

import contextlib
import json
import os
import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from absl.testing import absltest

from retrain.errors import UserError
from retrain.fine_tuning import checkpoint

_HISTORY = [
    {"accuracy": 0.5, "loss": 0.1 + 0.2, "val_accuracy": 0.25, "val_loss": 1.5},
    {"accuracy": 1.0, "loss": 1 / 3, "val_accuracy": 0.75, "val_loss": 1e-9},
]


class _Variable:
    """Stands in for a Keras variable, so that the test does not need TensorFlow."""

    def __init__(self, value: object) -> None:
        self._value = np.array(value)
        self.shape = self._value.shape

    def numpy(self) -> np.ndarray:
        return self._value

    def assign(self, value: np.ndarray) -> None:
        self._value = value


def _variables(scale: int = 1) -> list[_Variable]:
    values = (
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.int64(7),
        np.array([8, 9], np.uint32),
    )
    return [_Variable(scale * value) for value in values]


class CheckpointTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        self.path = folder / "new" / "checkpoint.npz"

    def assert_restored(self) -> None:
        variables = _variables(scale=0)
        self.assertEqual(checkpoint.restore(self.path, variables), _HISTORY)
        self.assert_values(variables, _variables())

    def assert_values(self, variables: list[_Variable], expected: list[_Variable]) -> None:
        for variable, same in zip(variables, expected, strict=True):
            np.testing.assert_array_equal(variable.numpy(), same.numpy())
            self.assertEqual(variable.numpy().dtype, same.numpy().dtype)

    def test_values_and_history_are_restored(self):
        checkpoint.save(self.path, _variables(scale=2), _HISTORY[:1])
        checkpoint.save(self.path, _variables(), _HISTORY)
        self.assert_restored()

    def test_without_a_file_nothing_changes(self):
        variables = _variables()
        self.assertEqual(checkpoint.restore(self.path, variables), [])
        self.assert_values(variables, _variables())

    def test_old_checkpoint_of_train_keras_is_read(self):
        self.path.parent.mkdir()
        best = {"best_epoch": 1, "best_loss": 1e-9, "checkpoint": "best_model.02-0.00.keras"}
        arrays = {f"{row:06}": variable.numpy() for row, variable in enumerate(_variables())}
        np.savez(self.path, **arrays, progress=np.array(json.dumps({"history": _HISTORY, **best})))
        self.assert_restored()

    def test_old_checkpoint_of_fine_tuning_is_read(self):
        self.path.parent.mkdir()
        table = np.array([list(epoch.values()) for epoch in _HISTORY])
        arrays = {f"value_{row}": variable.numpy() for row, variable in enumerate(_variables())}
        np.savez(self.path, epochs=table, **arrays)
        self.assert_restored()

    def assert_refused(self, *parts: str, variables: list[_Variable] | None = None) -> None:
        variables = variables or _variables(scale=0)
        before = [_Variable(variable.numpy()) for variable in variables]
        with self.assertRaises(UserError) as raised:
            checkpoint.restore(self.path, variables)
        for part in (f"{self.path} is damaged", "delete it to train from the first epoch", *parts):
            self.assertIn(part, str(raised.exception))
        self.assertNotIn("\n", str(raised.exception))
        self.assert_values(variables, before)

    def test_truncated_files_are_refused(self):
        checkpoint.save(self.path, _variables(), _HISTORY)
        content = self.path.read_bytes()
        for length in range(0, len(content), 7):
            self.path.write_bytes(content[:length])
            self.assert_refused()

    def test_a_wrong_byte_is_noticed_or_changes_nothing(self):
        checkpoint.save(self.path, _variables(), _HISTORY)
        content = self.path.read_bytes()
        refused = 0
        for place, byte in enumerate(content):
            self.path.write_bytes(content[:place] + bytes([255 - byte]) + content[place + 1 :])
            try:
                self.assert_restored()
            except UserError:
                refused += 1
        self.assertGreater(refused, len(content) / 2)

    def test_every_kind_of_damage_is_noticed_or_changes_nothing(self):
        checkpoint.save(self.path, _variables(), _HISTORY)
        content = self.path.read_bytes()
        rng = random.Random(14)
        for case in range(1200):
            damaged = bytearray(content)
            start, length = rng.randrange(len(content)), rng.choice((1, 3, 40, 600))
            length = min(length, len(content) - start)
            new = (
                b"",
                bytes(length),
                rng.randbytes(length),
                rng.randbytes(length + 7),
                bytes(byte ^ 1 << rng.randrange(8) for byte in content[start : start + length]),
            )[case % 5]
            damaged[start : start + length] = new
            self.path.write_bytes(damaged)
            with self.subTest(case=case), contextlib.suppress(UserError):
                self.assert_restored()

    def save_arrays(self, *changed: object, history: object = _HISTORY) -> None:
        """Saves arrays that replace the first ones, with right checksums."""
        values = [*changed, *(variable.numpy() for variable in _variables()[len(changed) :])]
        arrays: dict[str, Any] = {
            f"{row:06}": np.asarray(value) for row, value in enumerate(values)
        }
        self.path.parent.mkdir(exist_ok=True)
        np.savez(self.path, progress=np.array(json.dumps({"history": history})), **arrays)

    def test_values_of_another_type_or_without_meaning_are_refused(self):
        first = _variables()[0].numpy()
        self.save_arrays(first)
        self.assert_restored()
        for wrong in (first.astype(np.float64), first.astype(np.int32), first.astype(str)):
            self.save_arrays(wrong)
            self.assert_refused("it belongs to another network")
        for number in (np.nan, np.inf):
            self.save_arrays(np.full_like(first, number))
            self.assert_refused("a weight is not a finite number")

    def test_metrics_that_are_missing_or_not_finite_are_refused(self):
        for change in ({"loss": np.nan}, {"val_loss": np.inf}, {"accuracy": "1e999"}):
            self.save_arrays(history=[_HISTORY[0] | change])
            self.assert_refused("a metric is not a finite number")
        for name in _HISTORY[0]:
            self.save_arrays(history=[{k: v for k, v in _HISTORY[0].items() if k != name}])
            self.assert_refused(name)

    def test_deeply_nested_progress_is_refused(self):
        self.path.parent.mkdir()
        np.savez(self.path, progress=np.array("[" * 200_000))
        self.assert_refused()

    def test_a_pipe_or_a_link_is_refused(self):
        self.path.parent.mkdir()
        os.mkfifo(self.path)
        self.assert_refused("it is not a regular file")
        self.path.unlink()
        self.path.symlink_to("elsewhere")
        Path(self.path.parent, "elsewhere").touch()
        self.assert_refused("it is a symbolic link")

    def test_variables_of_another_network_are_refused(self):
        checkpoint.save(self.path, _variables(), _HISTORY)
        for others in (_variables()[:2], [*_variables(), _Variable(0)], [_Variable(0.0)] * 3):
            self.assert_refused("it belongs to another network", variables=others)

    def test_unknown_contents_are_refused(self):
        self.path.parent.mkdir()
        for progress in ("", "[]", "{}", '{"history": [1]}', '{"history": [{"loss": "low"}]}'):
            np.savez(self.path, progress=np.array(progress))
            self.assert_refused()
        np.savez(self.path, epochs=np.zeros((2, 3)))
        self.assert_refused()
        with self.path.open("wb") as file:
            np.save(file, np.zeros(3))
        self.assert_refused()


if __name__ == "__main__":
    absltest.main()

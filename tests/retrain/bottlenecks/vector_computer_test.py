"""Tests that only missing variants are computed, and that bad images and networks are reported."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from absl.testing import absltest
from PIL import Image

from retrain.bottlenecks.file_version import FileVersion
from retrain.bottlenecks.vector_computer import VectorComputer
from retrain.data import distortions
from retrain.data.dataset import ImageFile
from retrain.data.splits import TRAINING
from retrain.errors import UserError
from retrain.runtimes.runtime import Outputs, Runtime
from retrain.training_options import DistortionOptions
from tests.support.mean_backbone import MEAN_BACKBONE, SIDE

_OPTIONS = DistortionOptions(random_brightness=50, per_image=2)


class _MeanNetwork(Runtime):
    """Returns the mean of each channel times a factor, and records the sizes of the batches."""

    batch_size = 2

    def __init__(self, factor: float = 1) -> None:
        self.batches: list[int] = []
        self._factor = factor

    def predict(self, pixels: np.ndarray) -> Outputs:
        self.batches.append(len(pixels))
        return Outputs(self._factor * pixels.mean(axis=(1, 2), dtype=np.float32))

    def close(self) -> None: ...


class VectorComputerTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.images = [self.create_image(f"{number}.png", 20 * number) for number in range(3)]
        self.network = _MeanNetwork()

    def create_image(self, name: str, level: int) -> ImageFile:
        path = self.folder / name
        Image.new("RGB", (20, 10), (level, level + 1, level + 2)).save(path)
        return ImageFile(path, 0, TRAINING, 50.0)

    def computer(self, stored: Mapping[bytes, int] | None = None) -> VectorComputer:
        return VectorComputer(
            self.images, MEAN_BACKBONE, self.network, _OPTIONS, stored=stored or {}
        )

    def digest(self, row: int) -> bytes:
        return hashlib.sha256(self.images[row].path.read_bytes()).digest()

    def expected(self, row: int, numbers: list[int]) -> np.ndarray:
        data = self.images[row].path.read_bytes()
        variants = distortions.decode_variants(
            data, numbers, _OPTIONS, digest=self.digest(row), height=SIDE, width=SIDE
        )
        means = [variant.mean(axis=(0, 1), dtype=np.float32) for variant in variants]
        return np.array(means, np.float16)

    def test_all_variants_are_computed_in_batches_of_the_network(self):
        results = self.computer().compute([2, 0])
        self.assertEqual(self.network.batches, [2, 2, 2])
        for row, result in zip([2, 0], results, strict=True):
            self.assertEqual((result.row, result.numbers, result.problem), (row, [0, 1, 2], None))
            self.assertEqual(result.digest, self.digest(row))
            self.assertEqual(result.version, FileVersion.from_stat(self.images[row].path.stat()))
            self.assertEqual(result.vectors.dtype, np.float16)
            np.testing.assert_array_equal(result.vectors, self.expected(row, [0, 1, 2]))

    def test_stored_variants_are_not_computed(self):
        stored = {self.digest(0): 0b101, self.digest(1): 0b111}
        first, second, third = self.computer(stored).compute([0, 1, 2])
        self.assertEqual((first.numbers, second.numbers, third.numbers), ([1], [], [0, 1, 2]))
        np.testing.assert_array_equal(first.vectors, self.expected(0, [1]))
        self.assertEqual(second.vectors.shape, (0, 3))
        np.testing.assert_array_equal(third.vectors, self.expected(2, [0, 1, 2]))

    def test_images_that_cannot_be_read_have_a_problem_and_the_others_have_vectors(self):
        self.images[0].path.unlink()
        self.images[1].path.write_bytes(b"")
        missing, empty, readable = self.computer().compute([0, 1, 2])
        self.assertEqual(missing.problem, "No such file or directory")
        self.assertIsNone(missing.version)
        self.assertEqual(empty.problem, "it is an empty file")
        for result in (missing, empty):
            self.assertEqual((result.numbers, result.vectors.shape), ([], (0, 3)))
        np.testing.assert_array_equal(readable.vectors, self.expected(2, [0, 1, 2]))

    def test_numbers_that_do_not_fit_into_float16_are_a_user_error(self):
        for factor in (1e6, np.nan):
            self.network = _MeanNetwork(factor)
            with self.assertRaisesRegex(UserError, "^mean computes .* too large for float16"):
                self.computer().compute([1])


if __name__ == "__main__":
    absltest.main()

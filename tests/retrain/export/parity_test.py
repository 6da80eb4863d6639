"""Tests that differences between an exported file and the tested classifier are found."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
from absl.testing import absltest
from PIL import Image

from retrain.export import parity
from retrain.export.difference import Difference
from retrain.export.parity_sample import Sample
from retrain.runtimes.function_runtime import FunctionRuntime
from retrain.runtimes.runtime import ModelError, Outputs, Runtime
from tests.support import sample_classifier


class CheckTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        noise = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), np.uint8)
        paths = [
            sample_classifier.save(self.folder, image, f"{number:03}.png", size=(8, 8))
            for number, image in enumerate(noise)
        ]
        self.sample = Sample(tuple(paths), sample_classifier.images(40), held_out=40)
        self.rows = {path.read_bytes(): row for row, path in enumerate(paths)}
        rng = np.random.default_rng(0)
        self.expected = rng.dirichlet((1, 1, 1), 40).astype(np.float32)
        self.familiarity = None

    def runtime(
        self, probabilities: np.ndarray, run_file: Callable[[bytes], np.ndarray] | None = None
    ) -> Runtime:
        """Returns a runtime that computes given probabilities of the sample's images."""
        rows = {image.tobytes(): row for row, image in enumerate(self.sample.pixels)}
        return FunctionRuntime(
            lambda pixels: Outputs(probabilities[[rows[image.tobytes()] for image in pixels]]),
            predict_file=None if run_file is None else lambda data: Outputs(run_file(data)),
        )

    def check(self, *runtimes: Runtime, timed: bool = True) -> parity.ParityCheck:
        path = self.folder / "file"
        path.write_bytes(bytes(1234))
        return parity.check(
            "Kind",
            path,
            runtimes,
            sample=self.sample,
            expected=parity.Expected(self.expected, self.familiarity),
            timed=timed,
        )

    def with_other_label(self, row: int) -> np.ndarray:
        probabilities = self.expected.copy()
        probabilities[row] = np.roll(probabilities[row], 1)
        return probabilities

    def test_equal_probabilities_agree(self):
        check = self.check(self.runtime(self.expected))
        self.assertEqual(check.from_pixels, Difference(40, 1.0, 0.0, 0.0))
        self.assertIsNone(check.from_files)
        self.assertEqual((check.kind, check.size), ("Kind", 1234))
        self.assertGreater(check.milliseconds, 0)

    def test_a_familiarity_outside_of_the_range_is_measured_in_all_ways_to_run_a_file(
        self,
    ):
        low = np.linspace(0, 0.5, 40, dtype=np.float32)
        self.familiarity = np.stack([low, low + np.float32(0.25)])
        rows = {image.tobytes(): row for row, image in enumerate(self.sample.pixels)}

        def runtime(familiarity: np.ndarray | None) -> Runtime:
            def predict(pixels: np.ndarray) -> Outputs:
                own = [rows[image.tobytes()] for image in pixels]
                return Outputs(
                    self.expected[own], None if familiarity is None else familiarity[own]
                )

            return FunctionRuntime(predict)

        within, above = runtime(low + np.float32(0.1)), runtime(low + np.float32(0.5))
        self.assertEqual(self.check(within).familiarity, 0)
        self.assertAlmostEqual(self.check(within, above).familiarity, 0.25, places=6)
        below = runtime(low - np.float32(0.125))
        self.assertAlmostEqual(self.check(below).familiarity, 0.125, places=6)
        self.assertEqual(self.check(runtime(low * np.nan)).familiarity, np.inf)
        self.assertIsNone(self.check(runtime(None)).familiarity)

    def test_other_labels_are_counted_and_differences_are_measured(self):
        probabilities = self.with_other_label(7)
        check = self.check(self.runtime(probabilities))
        distances = np.abs(probabilities - self.expected)
        self.assertAlmostEqual(check.from_pixels.agreement, 39 / 40)
        self.assertAlmostEqual(check.from_pixels.largest, distances.max(), places=6)
        self.assertAlmostEqual(check.from_pixels.mean, distances.mean(), places=6)

    def test_any_label_with_the_best_probability_except_for_rounding_agrees(self):
        self.expected[:] = [1 / 3, 1 / 3, 1 / 3]
        probabilities = self.expected.copy()
        probabilities[:20, 1] += np.float32(7e-7)
        probabilities[20:, 2] += np.float32(7e-7)
        check = self.check(self.runtime(probabilities))
        self.assertEqual(check.from_pixels.agreement, 1)
        self.expected[:, 0] += np.float32(0.01)
        check = self.check(self.runtime(probabilities))
        self.assertEqual(check.from_pixels.agreement, 0)

    def test_nan_never_agrees(self):
        probabilities = self.expected.copy()
        probabilities[3, probabilities[3].argmax()] = np.nan
        check = self.check(self.runtime(probabilities))
        self.assertAlmostEqual(check.from_pixels.agreement, 39 / 40)
        self.assertTrue(np.isnan(check.from_pixels.largest))

    def test_other_ways_to_run_the_file_are_checked_with_a_few_images(self):
        bad, good = self.runtime(self.with_other_label(3)), self.runtime(self.expected)
        largest = self.check(bad).from_pixels.largest
        for runtimes in ((bad, good), (good, bad)):
            check = self.check(*runtimes)
            self.assertEqual(check.from_pixels.images, 40)
            self.assertAlmostEqual(check.from_pixels.agreement, 43 / 44)
            self.assertEqual(check.from_pixels.largest, largest)

    def test_the_networks_own_decoder_is_checked_with_encoded_files(self):
        def run_file(data: bytes) -> np.ndarray:
            row = self.rows[data]
            return (1 - self.expected if row < 4 else self.expected)[row]

        check = self.check(self.runtime(self.expected, run_file))
        self.assertEqual(check.from_pixels.agreement, 1)
        self.assertEqual(check.from_files.images, 40)
        self.assertAlmostEqual(check.from_files.agreement, 36 / 40)

    def test_other_ways_to_decode_files_are_checked_with_a_few_images(self):
        odd = self.sample.paths[3].read_bytes()

        def good(data: bytes) -> np.ndarray:
            return self.expected[self.rows[data]]

        def bad(data: bytes) -> np.ndarray:
            if data == odd:
                raise ModelError("of an unknown kind")
            return 1 - good(data) if self.rows[data] == 2 else good(data)

        runtimes = [self.runtime(self.expected, run_file) for run_file in (good, bad)]
        with self.assertLogs(level="WARNING") as logs:
            check = self.check(*runtimes)
        self.assertEqual(check.from_files.images, 40)
        self.assertAlmostEqual(check.from_files.agreement, 42 / 43)
        self.assertRegex(logs.output[0], r" 1 of 40 images, 1 PNG, .*003\.png \(of an unknown kind")
        self.assertRegex(logs.output[1], r" decodes 1 of 40 images differently, .*002\.png")
        # In both ways, it is still the same image.
        with self.assertLogs(level="WARNING") as logs:
            self.check(*[self.runtime(self.expected, bad)] * 2)
        self.assertRegex(logs.output[0], " support 1 of 40 images, 1 PNG, ")
        self.assertRegex(logs.output[1], " decodes 1 of 39 images differently, 1 PNG, ")

    def test_images_that_are_decoded_differently_are_logged(self):
        odd = self.sample.paths[5].read_bytes()

        def run_file(data: bytes) -> np.ndarray:
            return self.expected[self.rows[data]] + np.float32(0.2 if data == odd else 0)

        with self.assertLogs(level="WARNING") as logs:
            self.check(self.runtime(self.expected, run_file))
        self.assertRegex(
            logs.output[0], r"decodes 1 of 40 images differently, 1 PNG, .*005\.png: .* 0\.2;"
        )

    def test_one_line_names_the_formats_that_are_decoded_differently(self):
        image = Image.fromarray(self.sample.pixels[0])
        paths = list(self.sample.paths)
        for row in (0, 1):
            paths[row] = self.folder / f"{row}.bmp"
            image.quantize(8 + row).save(paths[row])
        paths[2] = self.folder / "2.gif"
        image.quantize(8).save(paths[2], transparency=0, interlace=0)
        rows = {path.read_bytes(): row for row, path in enumerate(paths)}
        self.sample = dataclasses.replace(self.sample, paths=tuple(paths))

        def run_file(data: bytes) -> np.ndarray:
            row = rows[data]
            return np.roll(self.expected[row], 1) if row < 3 else self.expected[row]

        with self.assertLogs(level="WARNING") as logs:
            check = self.check(self.runtime(self.expected, run_file))
        (line,) = logs.output
        self.assertRegex(line, "3 of 40 .*, 2 BMP with a palette, 1 GIF with transparency, most")
        self.assertAlmostEqual(check.from_files.agreement, 37 / 40)
        self.assertEqual(check.from_pixels.agreement, 1)

    def test_images_that_its_decoder_does_not_support_are_left_out_and_logged(self):
        odd = self.sample.paths[5].read_bytes()

        def run_file(data: bytes) -> np.ndarray:
            if data == odd:
                raise ModelError("of an unknown kind")
            return self.expected[self.rows[data]]

        with self.assertLogs(level="WARNING") as logs:
            check = self.check(self.runtime(self.expected, run_file))
        self.assertEqual(check.from_files.images, 39)
        self.assertEqual(check.from_pixels.agreement, 1)
        self.assertRegex(
            logs.output[0], r" 1 of 40 images, 1 PNG, .*005\.png \(of an unknown kind\)"
        )

    def test_the_size_of_a_folder_is_that_of_its_files(self):
        folder = self.folder / "model"
        (folder / "variables").mkdir(parents=True)
        (folder / "graph").write_bytes(bytes(10))
        (folder / "variables" / "data").write_bytes(bytes(20))
        runtimes = [self.runtime(self.expected)]
        expected = parity.Expected(self.expected, None)
        check = parity.check("Kind", folder, runtimes, sample=self.sample, expected=expected)
        self.assertEqual(check.size, 30)

    def test_a_check_without_timing_lacks_only_the_time(self):
        timed, untimed = (
            self.check(self.runtime(self.expected), timed=timed) for timed in (True, False)
        )
        self.assertIsNone(untimed.milliseconds)
        self.assertEqual(dataclasses.replace(timed, milliseconds=None), untimed)


if __name__ == "__main__":
    absltest.main()

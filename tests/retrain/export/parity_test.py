"""Files are asked about held-out images, and what is wrong with their answers is found."""

from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized

from retrain.bottlenecks.compute import Bottlenecks, Part
from retrain.config import SplitOptions
from retrain.data import splits
from retrain.data.dataset import Dataset, ImageFile
from retrain.data.splits import TEST, TRAINING, VALIDATION
from retrain.export import parity
from retrain.export.answers import Answers, UndecodedError
from retrain.report import text_report
from tests.support import sample_classifier


def _part(paths: list[Path], split: str) -> Part:
    images = tuple(ImageFile(path, 0, split, None) for path in paths)
    return Part(images, np.zeros((len(paths), 1, 2), np.float16), np.zeros(len(paths), np.int64))


class ParityTestCase(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)

    def draw_images(self, count: int, prefix: str) -> list[Path]:
        rng = np.random.default_rng(0)
        noise = rng.integers(0, 256, (count, 8, 8, 3), np.uint8)
        return [
            sample_classifier.save(self.folder, image, f"{prefix}{n:03}.png", size=(8, 8))
            for n, image in enumerate(noise)
        ]


class DrawTest(ParityTestCase):
    def features(self, **counts: int) -> Bottlenecks:
        self.paths = {name: self.draw_images(count, name) for name, count in counts.items()}
        parts = {split: _part(self.paths[split], split) for split in counts}
        percentages = splits.SplitPercentages.from_options(SplitOptions())
        dataset = Dataset(self.folder, ("a",), ("a",), (), percentages)
        return Bottlenecks(dataset, "float32", parts, 0, {})

    def test_it_takes_the_held_out_images_and_no_others_where_there_are_enough(self):
        features = self.features(**{TEST: 55, VALIDATION: 5, TRAINING: 5})
        sample = parity.draw(features, 8, 8)
        self.assertEqual(list(sample.paths), self.paths[TEST])
        self.assertEqual((sample.held_out, sample.pixels.shape), (55, (55, 8, 8, 3)))

    def test_where_they_are_few_others_fill_up(self):
        features = self.features(**{TEST: 10, VALIDATION: 15, TRAINING: 60})
        sample = parity.draw(features, 8, 8)
        self.assertEqual(sample.held_out, 10)
        self.assertLen(sample.paths, parity.FEWEST)
        self.assertEqual(list(sample.paths[:25]), self.paths[TEST] + self.paths[VALIDATION])
        self.assertContainsSubset(sample.paths[25:], self.paths[TRAINING])

    def test_there_may_be_fewer_in_all(self):
        features = self.features(**{TEST: 0, VALIDATION: 3, TRAINING: 4})
        sample = parity.draw(features, 8, 8)
        self.assertEqual((len(sample.paths), sample.held_out), (7, 0))

    def test_of_many_it_takes_some_from_everywhere(self):
        features = self.features(**{TEST: 120, VALIDATION: 0, TRAINING: 1})
        sample = parity.draw(features, 8, 8, most=60)
        self.assertLen(set(sample.paths), 60)
        self.assertEqual([sample.paths[0], sample.paths[-1]], self.paths[TEST][::119])

    def test_an_image_that_vanished_is_left_out(self):
        features = self.features(**{TEST: 5, VALIDATION: 0, TRAINING: 3})
        self.paths[TEST][2].unlink()
        sample = parity.draw(features, 8, 8)
        self.assertEqual((len(sample.paths), sample.held_out), (7, 4))


class CheckTest(ParityTestCase):
    def setUp(self):
        super().setUp()
        self.sample = parity.Sample(
            tuple(self.draw_images(40, "p")), sample_classifier.images(40), 40
        )
        rng = np.random.default_rng(0)
        self.expected = rng.dirichlet((1, 1, 1), 40).astype(np.float32)

    def check(self, scores: np.ndarray, from_file=None) -> parity.Checked:
        known = {image.tobytes(): row for row, image in enumerate(self.sample.pixels)}

        def from_pixels(images: np.ndarray) -> np.ndarray:
            return scores[[known[image.tobytes()] for image in images]]

        path = self.folder / "file"
        path.write_bytes(bytes(1234))
        return parity.check(
            "Kind", path, Answers(from_pixels, from_file), self.sample, self.expected
        )

    def test_the_same_answers_agree(self):
        checked = self.check(self.expected)
        self.assertEqual(checked.from_pixels, parity.Difference(40, 1.0, 0.0, 0.0))
        self.assertIsNone(checked.from_files)
        self.assertEqual((checked.agreement, checked.size), (1.0, 1234))
        self.assertGreater(checked.milliseconds, 0)

    def test_another_best_label_is_counted_and_differences_are_measured(self):
        scores = self.expected.copy()
        scores[7] = np.roll(scores[7], 1)
        checked = self.check(scores)
        apart = np.abs(scores - self.expected)
        self.assertAlmostEqual(checked.agreement, 39 / 40)
        self.assertAlmostEqual(checked.from_pixels.largest, apart.max(), places=6)
        self.assertAlmostEqual(checked.from_pixels.mean, apart.mean(), places=6)

    def test_what_is_no_number_never_agrees(self):
        scores = self.expected.copy()
        scores[3, scores[3].argmax()] = np.nan
        self.assertAlmostEqual(self.check(scores).agreement, 39 / 40)

    def test_a_decoder_of_its_own_is_checked_from_the_bytes_of_files(self):
        contents = {path.read_bytes(): row for row, path in enumerate(self.sample.paths)}
        wrong = 1 - self.expected
        checked = self.check(
            self.expected,
            lambda data: (wrong if contents[data] < 4 else self.expected)[contents[data]],
        )
        self.assertEqual(checked.from_pixels.agreement, 1)
        self.assertEqual(checked.from_files.images, 40)
        self.assertAlmostEqual(checked.agreement, 36 / 40)

    def test_images_that_are_decoded_otherwise_are_told(self):
        odd = self.sample.paths[5].read_bytes()
        contents = {path.read_bytes(): row for row, path in enumerate(self.sample.paths)}

        def from_file(data: bytes) -> np.ndarray:
            return self.expected[contents[data]] + np.float32(0.2 if data == odd else 0)

        with self.assertLogs(level="WARNING") as logs:
            self.check(self.expected, from_file)
        self.assertRegex(logs.output[0], r"decodes 1 of 40 images otherwise, .*p005\.png most")

    def test_images_that_its_decoder_does_not_know_are_left_out_and_told(self):
        odd = self.sample.paths[5].read_bytes()
        contents = {path.read_bytes(): row for row, path in enumerate(self.sample.paths)}

        def from_file(data: bytes) -> np.ndarray:
            if data == odd:
                raise UndecodedError("of an unknown kind")
            return self.expected[contents[data]]

        with self.assertLogs(level="INFO") as logs:
            checked = self.check(self.expected, from_file)
        self.assertEqual(checked.from_files.images, 39)
        self.assertEqual(checked.agreement, 1)
        self.assertRegex(logs.output[0], r"1 of 40 images .*p005\.png \(of an unknown kind\)")

    def test_the_size_of_a_folder_is_that_of_its_files(self):
        folder = self.folder / "model"
        (folder / "variables").mkdir(parents=True)
        (folder / "graph").write_bytes(bytes(10))
        (folder / "variables" / "data").write_bytes(bytes(20))
        answers = Answers(lambda images: self.expected[: len(images)])
        checked = parity.check("Kind", folder, answers, self.sample, self.expected)
        self.assertEqual(checked.size, 30)

    def test_the_table_names_the_kinds_and_what_they_were_asked_about(self):
        sample = parity.Sample(self.sample.paths, self.sample.pixels, held_out=30)
        lines = text_report.exports_table(
            [self.check(self.expected, lambda data: self.expected[0])], sample
        )
        self.assertIn("30 held-out images and 10 others", lines[0])
        self.assertRegex(lines[2], r"^  Kind +100\.0 % +0\.0e\+00  0e\+00 +0\.0 MB +[0-9.]+ ms$")
        self.assertRegex(lines[3], r"^    decoding itself +[0-9.]+ % ")

    def test_the_table_says_where_a_reference_answered(self):
        lines = text_report.exports_table([parity.untimed(self.check(self.expected))], self.sample)
        self.assertEndsWith(lines[2], " elsewhere")
        self.assertIn("a reference answered", lines[-1])


if __name__ == "__main__":
    absltest.main()

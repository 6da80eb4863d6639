"""A new classifier is compared with an old one on test images of the classes of both."""

import json
import shutil
from collections.abc import Collection
from pathlib import Path
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized
from PIL import Image

from retrain.bottlenecks.features import Bottlenecks, SplitFeatures
from retrain.comparison import baseline_classifier
from retrain.comparison.baseline import BaselineComparison, compare_with_baseline
from retrain.comparison.baseline_classifier import BaselineClassifier
from retrain.config import BaselineOptions, SplitOptions
from retrain.data.dataset import Dataset, scan_dataset
from retrain.data.splits import TEST
from retrain.errors import UserError
from retrain.report.comparison_lines import baseline_lines
from retrain.runtimes.head import Head
from retrain.runtimes.runtime import Description, Outputs, Runtime
from retrain.training.results import HeadResult

_NAMES = {"by": "name", "group_by": "none", "percentages": {"validation": 10.0, "test": 10.0}}
_LABELS = ("grey", "light", "dark")


class _ByBrightness(Runtime):
    """A network that says "dark" for dark images, "light" for light ones, and "grey" for others."""

    def __init__(self, split=None) -> None:
        self.description = Description(_LABELS, 8, 8, split=split or {})

    def predict(self, pixels: np.ndarray) -> Outputs:
        brightness = pixels.mean()
        return Outputs(np.array([[0.5, brightness > 200, brightness < 50]], np.float32))

    def close(self) -> None:
        pass


class CompareTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        for number in range(80):
            self.save(f"dark/{number}.png", 20)
            self.save(f"light/{number}.png", 240)
            self.save(f"red/{number}.png", 120)

    def save(self, name: str, brightness: int) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        Image.new("L", (8, 8), brightness).save(path)

    def result(self, wrong: Collection[str], dataset: Dataset) -> HeadResult:
        """Returns a head that is wrong about the test images of these names."""
        images = dataset.split(TEST)
        class_ids = np.array([image.class_id for image in images])
        answers = np.where(
            [image.path.name in wrong for image in images], (class_ids + 1) % 3, class_ids
        )
        vectors = np.eye(3, dtype=np.float16)[answers][:, np.newaxis]
        test = SplitFeatures(images, vectors, class_ids)
        features = Bottlenecks(dataset, "float32", {TEST: test}, 0, {})
        head = Head(np.eye(3, dtype=np.float32), np.zeros(3, np.float32))
        return HeadResult(features, head, test, {})

    def compare(self, *, split=None, wrong: Collection[str] = (), **options) -> BaselineComparison:
        split_options = SplitOptions(**({"group_by": "none"} | options))
        dataset = scan_dataset(self.folder, split_options)
        baseline = BaselineClassifier(Path("/old.pb"), _LABELS, _ByBrightness(split))
        comparison = compare_with_baseline(baseline, self.result(wrong, dataset), split_options)
        assert comparison is not None
        self.common_count = sum(
            dataset.labels[image.class_id] in ("dark", "light") for image in dataset.split(TEST)
        )
        return comparison

    def test_only_classes_of_both_count(self):
        comparison = self.compare()
        self.assertEqual(comparison.common_labels, ("dark", "light"))
        self.assertEqual(comparison.counts.count, self.common_count)
        self.assertEqual(comparison.counts.both, self.common_count)
        self.assertEmpty(comparison.gained + comparison.lost)

    def test_images_that_one_gets_right_are_named(self):
        dataset = scan_dataset(self.folder, SplitOptions())
        dark = [i.path for i in dataset.split(TEST) if i.path.parent.name == "dark"]
        self.save(f"dark/{dark[0].name}", 240)
        comparison = self.compare(wrong={dark[1].name})
        self.assertEqual([image.path for image in comparison.gained], [dark[0]])
        self.assertEqual(
            (comparison.gained[0].label, comparison.gained[0].new, comparison.gained[0].old),
            ("dark", "dark", "light"),
        )
        self.assertIn(dark[1], [image.path for image in comparison.lost])
        lines = baseline_lines(comparison)
        self.assertIn(f"{self.common_count} test images of the 2 classes", lines[0])
        self.assertIn(f"Only the new one is right about: {dark[0]} (dark; new: dark, ", lines[2])
        written = json.loads(json.dumps(comparison.as_json()))
        self.assertEqual(written["gained"][0]["path"], str(dark[0]))
        self.assertEqual(written["only_new"], 1)

    def test_an_image_that_vanished_is_left_out(self):
        dataset = scan_dataset(self.folder, SplitOptions(group_by="none"))
        gone = next(i.path for i in dataset.split(TEST) if i.path.parent.name == "dark")
        result = self.result(set(), dataset)
        gone.unlink()
        runtime = _ByBrightness()
        baseline = BaselineClassifier(Path("/old.pb"), runtime.description.labels, runtime)
        counts = compare_with_baseline(baseline, result, SplitOptions()).counts
        self.assertEqual(counts.both, counts.count)
        self.assertEqual(
            counts.count,
            sum(i.path.parent.name in ("dark", "light") for i in dataset.split(TEST)) - 1,
        )

    def test_with_the_same_split_the_old_one_has_seen_nothing(self):
        comparison = self.compare(split=_NAMES)
        self.assertEqual(comparison.seen_count, 0)
        self.assertEqual(comparison.unseen_counts, comparison.counts)
        self.assertIn("was not trained on any of these images", baseline_lines(comparison)[-1])

    def test_images_that_the_old_one_trained_on_are_counted(self):
        comparison = self.compare(split=_NAMES, testing_percentage=40)
        self.assertBetween(comparison.seen_count, 1, comparison.counts.count - 1)
        self.assertEqual(
            comparison.unseen_counts.count, comparison.counts.count - comparison.seen_count
        )
        lines = baseline_lines(comparison)
        self.assertIn(f"The names of {comparison.seen_count} of these images", lines[2])
        self.assertStartsWith(lines[3], "  Without them: both are right about")

    def test_images_in_a_test_folder_count_as_unseen_whatever_their_names_are(self):
        test_folder = Path(self.create_tempdir().full_path, "test")
        shutil.copytree(self.folder, test_folder)
        comparison = self.compare(split=_NAMES, test_dir=test_folder)
        self.assertEqual(comparison.counts.count, 160)
        self.assertEqual(comparison.seen_count, 0)

    @parameterized.parameters(
        ({},),
        ({"by": "path", "percentages": {"validation": 10, "test": 10}},),
        ({"by": "name", "percentages": [10, 10]},),
        ({"by": "name", "percentages": {"validation": "x", "test": 10}},),
    )
    def test_an_unknown_split_is_said_to_be_unknown(self, split):
        comparison = self.compare(split=split)
        self.assertIsNone(comparison.seen_count)
        self.assertIn("does not say how its images were split", baseline_lines(comparison)[-1])

    def test_without_a_baseline_nothing_is_compared(self):
        self.assertIsNone(compare_with_baseline(None, None, SplitOptions()))
        self.assertEmpty(baseline_lines(None))


class LoadTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)

    def load(
        self, runtime: Runtime, labels: tuple[str, ...], file: Path | None = None
    ) -> BaselineClassifier:
        load = mock.patch.object(baseline_classifier.classifier_file, "load", return_value=runtime)
        with load:
            loaded = BaselineClassifier.load(BaselineOptions(Path("/old.pb"), file), labels)
        assert loaded is not None
        return loaded

    def assert_refused(self, message: str, graph: Path, labels: Path | None = None) -> None:
        with self.assertRaisesRegex(UserError, message):
            BaselineClassifier.load(BaselineOptions(graph, labels), ("cat", "dog"))

    def test_files_that_cannot_be_used_are_refused(self):
        file = self.folder / "text.pb"
        self.assert_refused("--baseline_graph=.*text.pb cannot be read: No such", file)
        file.write_text("not a graph")
        self.assert_refused("--baseline_graph=.*text.pb is not a classifier", file)

    def test_a_classifier_of_other_classes_is_refused(self):
        with self.assertRaisesRegex(
            UserError, "--baseline_graph=/old.pb has none of the classes .* grey, light, dark, and"
        ):
            self.load(_ByBrightness(), ("cat", "dog"))
        self.assertIsNotNone(self.load(_ByBrightness(), ("cat", "dark")))

    def test_labels_can_be_in_a_file(self):
        runtime = _ByBrightness()
        runtime.description = Description(height=8, width=8)
        with self.assertRaisesRegex(UserError, "does not contain labels; set --baseline_labels"):
            self.load(runtime, ("dark", "red"))
        file = self.folder / "labels.txt"
        file.write_text("grey\nlight\ndark\n")
        self.assertEqual(self.load(runtime, ("dark", "red"), file).labels[2], "dark")
        with self.assertRaisesRegex(UserError, "--baseline_labels=.*none.txt cannot be read"):
            self.load(runtime, ("dark", "red"), self.folder / "none.txt")
        file.write_text("dark\nlight\n")
        image = self.folder / "image.png"
        Image.new("L", (8, 8)).save(image)
        with self.assertRaisesRegex(UserError, "computes 3 scores for 2 labels"):
            self.load(runtime, ("dark", "red"), file).predict([image])


if __name__ == "__main__":
    absltest.main()

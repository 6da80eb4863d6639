"""The report tells the truth, in lines that scripts have looked for since 2015."""

import json
from pathlib import Path

import numpy as np
from absl.testing import absltest

from retrain.bottlenecks.compute import Bottlenecks, Part
from retrain.config import DistortionOptions, HeadOptions, TrainingConfig
from retrain.data.dataset import Dataset, ImageFile
from retrain.data.splits import TEST, TRAINING, VALIDATION, SplitPercentages
from retrain.export.formats import Written
from retrain.export.parity import Checked, Difference
from retrain.report import text_report
from retrain.report.metrics import metrics
from retrain.runtimes.head import Head
from retrain.system.phase_timer import PhaseTimer
from retrain.training.evaluation import Evaluation, evaluate
from retrain.training.history import Measures, TrainingHistory
from retrain.training.results import FineTuned, Trained

_LABELS = ("cat", "dog")


def _evaluation(right: int, wrong: int) -> Evaluation:
    count = right + wrong
    class_ids = np.arange(count) % 2
    predicted = np.where(np.arange(count) < right, class_ids, 1 - class_ids)
    return evaluate(np.where(np.eye(2, dtype=bool)[predicted], 0.75, 0.25), class_ids)


def _dataset(*counts: int) -> Dataset:
    splits = (TRAINING, VALIDATION, TEST)
    images = tuple(
        ImageFile(Path(f"/p/{class_id}/{i}.jpg"), class_id, splits[i % 3], 0.0)
        for class_id, count in enumerate(counts)
        for i in range(count)
    )
    return Dataset(Path("/p"), _LABELS, ("Cat", "Dog"), images, SplitPercentages(10, 10))


class ReportTest(absltest.TestCase):
    def test_the_accuracy_line(self):
        self.assertEqual(
            text_report.accuracy_line(_evaluation(146, 7)), "Final test accuracy = 95.4% (N=153)"
        )

    def test_no_mistake_is_said(self):
        lines = text_report.misclassified_lines(_evaluation(4, 0), [], _LABELS)
        self.assertEqual(lines, ["=== MISCLASSIFIED TEST IMAGES ===", "none"])

    def test_worse_than_guessing_is_said(self):
        for right, said in ((3, True), (5, False), (8, False)):
            lines = text_report.explanation(_evaluation(right, 10 - right), _dataset(9, 9))
            self.assertEqual(any("worse than guessing" in line for line in lines), said)

    def test_no_images_no_accuracy(self):
        nothing = evaluate(np.zeros((0, 2), np.float32), np.zeros(0, np.int64))
        self.assertIn("unknown", text_report.accuracy_line(nothing))
        self.assertEmpty(text_report.explanation(nothing, _dataset(9, 9)))

    def test_the_explanation_names_range_baseline_and_confusions(self):
        lines = text_report.explanation(_evaluation(7, 3), _dataset(9, 18))
        self.assertRegex(lines[0], "With 10 test images .* 39.7% and 89.2%; .* 50.0%")
        self.assertEqual(lines[1], "Most confused: 2 x dog taken for cat, 1 x cat taken for dog.")

    def test_balanced_accuracy_is_told_where_classes_differ_in_size(self):
        class_ids = np.array([0, 0, 0, 0, 0, 1, 1])
        predicted = np.array([0, 0, 0, 0, 0, 0, 1])
        uneven = evaluate(np.eye(2)[predicted], class_ids)
        lines = text_report.explanation(uneven, _dataset(60, 29))
        self.assertRegex(lines[1], "^Balanced accuracy = 75.0%: .* which have 29 to 60 images")
        # What counts is what was learned from, and not by chance the few images of the test.
        self.assertNotIn("Balanced", " ".join(text_report.explanation(uneven, _dataset(60, 30))))

    def test_the_bottlenecks_line_adds_up(self):
        def line(computed: int, reused: int) -> str:
            return Bottlenecks(_dataset(9, 9), "int8", {}, computed, {}, reused).summary()

        self.assertEqual(line(1234, 5), "Bottlenecks: 1,234 computed by int8, 5 from the cache.")
        self.assertEqual(line(0, 18), "Bottlenecks: 0 computed, 18 from the cache.")

    def test_misclassified_images_are_listed_under_the_original_heading(self):
        images = [ImageFile(Path(f"/p/{i}.jpg"), i % 2, TEST, 0.0) for i in range(10)]
        heading, *lines = text_report.misclassified_lines(_evaluation(9, 1), images, _LABELS)
        self.assertEqual(heading, "=== MISCLASSIFIED TEST IMAGES ===")
        self.assertEqual([line.split() for line in lines], [["/p/9.jpg", "cat", "(0.75000)"]])

    def test_the_command_to_label_with_can_be_pasted(self):
        written = [Written(Path("/o/g.pb"), "the classifier")]
        lines = text_report.written_lines(written, Path("/o/g.pb"), Path("/a b/it's.jpg"))
        self.assertIn("  /o/g.pb  the classifier", lines)
        self.assertEndsWith(lines[-1], """--graph=/o/g.pb '/a b/it'"'"'s.jpg'""")

    def test_the_metrics_are_json_with_every_number(self):
        dataset = _dataset(6, 3)
        part = Part((), np.zeros((0, 1, 4), np.float16), np.zeros(0, np.int64))
        # The second begins with what the first one could read.
        features = {
            "int8": Bottlenecks(dataset, "int8", {TEST: part}, 5, {Path("/bad"): "empty"}),
            "float32": Bottlenecks(dataset, "float32", {TEST: part}, 5, {}),
        }
        head = Head(np.zeros((4, 2), np.float32), np.zeros(2, np.float32))
        trained = {
            name: Trained(features[name], head, part, {TEST: _evaluation(right, 1)})
            for name, right in (("int8", 1), ("float32", 3))
        }
        timer = PhaseTimer()
        with timer.phase("training"):
            pass
        same = Difference(50, 1.0, 0.001, 0.0001)
        checked = Checked("Keras", 9000, 5.5, from_pixels=same, from_files=None)
        measures = Measures((0.5, 1.0), (2.0, 0.25))
        tuned = FineTuned(
            *(
                False,
                TrainingHistory((1, 2), measures, measures),
                _evaluation(2, 2),
                _evaluation(3, 1),
            ),
            *(-0.25, 0.125, 0.5, 0.75),
        )
        config = TrainingConfig(Path("/p"))
        numbers = json.loads(metrics(config, trained, tuned, [checked], timer))
        self.assertEqual(numbers["test"]["accuracy"], 0.75)
        self.assertEqual(numbers["test"]["confusion"], [[2, 0], [1, 1]])
        self.assertEqual(numbers["pictures"]["training"], 3)
        self.assertEqual(numbers["engine"], "float32")
        self.assertEqual(numbers["in_int8"]["test"]["accuracy"], 0.5)
        self.assertEqual(numbers["pictures"]["bottlenecks_computed"], 10)
        self.assertEqual(numbers["pictures"]["unreadable"], {"/bad": "empty"})
        self.assertEqual(numbers["training"]["solver"], "logistic_regression")
        told = numbers["fine_tuning"]
        self.assertIs(told["kept"], False)
        self.assertEqual(told["course"]["learned"], [[0.5, 1.0], [2.0, 0.25]])
        self.assertEqual(told["with_it"]["accuracy"], 0.5)
        self.assertEqual(told["without"]["accuracy"], 0.75)
        self.assertEqual((told["gain"], told["test_without"]), (-0.25, 0.75))
        (export,) = numbers["exports"]
        self.assertEqual((export["kind"], export["size"]), ("Keras", 9000))
        self.assertEqual(export["from_pixels"]["largest"], 0.001)
        self.assertContainsSubset({"training"}, numbers["seconds"])

    def test_a_classifier_says_what_it_was_made_with_and_nothing_else(self):
        def used(distortions: DistortionOptions | None = None, **head) -> dict:
            return TrainingConfig(
                Path("/p"),
                distortions=distortions or DistortionOptions(),
                head=HeadOptions(**head),
            ).used()

        self.assertEqual(
            used(class_weights="cat=2", calibrate=False, seed=3),
            {
                "solver": "logistic_regression",
                "class_weights": "cat=2",
                "calibrate": False,
                "seed": 3,
                "distortions": {"per_image": 0},
            },
        )
        descended = used(solver="sgd", steps=7)
        self.assertEqual((descended["steps"], descended["class_weights"]), (7, "balanced"))
        self.assertContainsSubset({"learning_rate", "train_batch_size"}, descended)
        whole = used(solver="sgd", train_batch_size=-1)
        self.assertEqual(whole["class_weights"], "by_pictures")
        distorted = used(DistortionOptions(random_crop=5, per_image=4, seed=1))["distortions"]
        self.assertEqual((distorted["random_crop"], distorted["per_image"]), (5, 4))


if __name__ == "__main__":
    absltest.main()

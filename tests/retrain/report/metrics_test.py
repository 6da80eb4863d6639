"""The metrics of a run have every number, also under the keys of version 1.0."""

import dataclasses
import json
from pathlib import Path
from unittest import mock

import numpy as np
from absl.testing import absltest

from retrain.backbones.backbone import Backbone
from retrain.bottlenecks.features import Bottlenecks, SplitFeatures
from retrain.comparison.architectures import ArchitectureComparison, ArchitectureResult
from retrain.comparison.comparisons import Comparisons
from retrain.config import TrainingConfig
from retrain.data.dataset import Dataset, ImageFile
from retrain.data.group_summary import GroupSummary
from retrain.data.splits import TEST, TRAINING, VALIDATION, SplitPercentages
from retrain.export.parity import Difference, ParityCheck
from retrain.fine_tuning.paired_gain import PairedGain
from retrain.fine_tuning.result import FineTuningResult
from retrain.output_options import OutputOptions
from retrain.report.finished_training import FinishedTraining
from retrain.report.metrics import collect_metrics, stage_metrics
from retrain.runtimes.head import Head
from retrain.system.outputs.staging import Staging
from retrain.system.phase_timer import PhaseTimer
from retrain.training.cross_validation import OutOfFold
from retrain.training.evaluation import Evaluation, evaluate
from retrain.training.history import MetricSeries, TrainingHistory
from retrain.training.results import HeadResult, Results

_SERIES = MetricSeries((0.5, 1.0), (2.0, 0.25))


def _evaluation(right: int, wrong: int) -> Evaluation:
    count = right + wrong
    class_ids = np.arange(count) % 2
    predicted = np.where(np.arange(count) < right, class_ids, 1 - class_ids)
    return evaluate(np.where(np.eye(2, dtype=bool)[predicted], 0.75, 0.25), class_ids)


def _results() -> Results:
    images = tuple(
        ImageFile(Path(f"/p/{i % 2}/{i}.jpg"), i % 2, (TRAINING, VALIDATION, TEST)[i % 3], 0.0)
        for i in range(9)
    )
    dataset = Dataset(Path("/p"), ("cat", "dog"), ("Cat", "Dog"), images, SplitPercentages(10, 10))
    nothing = SplitFeatures((), np.zeros((0, 1, 4), np.float16), np.zeros(0, np.int64))
    head = Head(np.zeros((4, 2), np.float32), np.zeros(2, np.float32))
    int8 = Bottlenecks(dataset, "int8", {TEST: nothing}, 5, {Path("/bad"): "empty"})
    # The second engine does not try to read the unreadable image again.
    float32 = Bottlenecks(dataset, "float32", {TEST: nothing}, 5, {})
    return Results(
        primary=HeadResult(float32, head, nothing, {TEST: _evaluation(3, 1)}),
        int8=HeadResult(int8, head, nothing, {TEST: _evaluation(1, 1)}),
    )


def _fine_tuning() -> FineTuningResult:
    return FineTuningResult(
        kept=False,
        history=TrainingHistory((1, 2), _SERIES, _SERIES),
        tuned=_evaluation(2, 2),
        baseline=_evaluation(3, 1),
        gain=PairedGain(-0.25, 0.125, 0.5),
        test_tuned=0.5,
        test_baseline=0.75,
    )


def _parity_check() -> ParityCheck:
    same = Difference(50, 1.0, 0.001, 0.0001)
    return ParityCheck("Keras", 9000, 5.5, from_pixels=same, from_files=None)


class MetricsTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.timer = PhaseTimer()
        with self.timer.phase("training"), self.timer.phase("plots"):
            pass

    def training(self, **changes) -> FinishedTraining:
        fields = {
            "config": TrainingConfig(Path("/p"), bottleneck_dir=Path("/cache")),
            "backbone": mock.create_autospec(Backbone),
            "results": _results(),
            "timer": self.timer,
        }
        return FinishedTraining(**{**fields, **changes})

    def collect(self) -> dict:
        metrics = collect_metrics(self.training(fine_tuning=_fine_tuning()), [_parity_check()])
        return json.loads(json.dumps(metrics))

    def test_every_number_is_there(self):
        metrics = self.collect()
        self.assertEqual(metrics["test"]["accuracy"], 0.75)
        self.assertEqual(metrics["test"]["confusion"], [[2, 0], [1, 1]])
        self.assertEqual(metrics["engine"], "float32")
        self.assertEqual(metrics["in_int8"]["test"]["accuracy"], 0.5)
        self.assertEqual(metrics["images"]["training"], 3)
        self.assertEqual(metrics["images"]["bottlenecks_computed"], 10)
        self.assertEqual(metrics["images"]["unreadable"], {"/bad": "empty"})
        self.assertEqual(metrics["training"]["solver"], "logistic_regression")
        fine_tuning = metrics["fine_tuning"]
        self.assertIs(fine_tuning["kept"], False)
        self.assertEqual(fine_tuning["history"]["train"], [[0.5, 1.0], [2.0, 0.25]])
        self.assertEqual(fine_tuning["tuned"]["accuracy"], 0.5)
        self.assertEqual(fine_tuning["baseline"]["accuracy"], 0.75)
        self.assertEqual((fine_tuning["gain"], fine_tuning["test_baseline"]), (-0.25, 0.75))
        (export,) = metrics["exports"]
        self.assertEqual((export["kind"], export["size"]), ("Keras", 9000))
        self.assertEqual(export["from_pixels"]["largest"], 0.001)
        self.assertEqual(export["from_pixels"]["images"], 50)
        self.assertContainsSubset({"training", "plots"}, metrics["seconds"])

    def test_what_was_asked_for_has_its_own_keys(self):
        self.assertNoCommonElements(
            self.collect(), ["cross_validation", "architectures", "baseline"]
        )
        results = _results()
        dataset = dataclasses.replace(
            results.primary.features.dataset,
            grouping=GroupSummary("folder", 2, 5, (("a.jpg", "b.jpg"),)),
        )
        image = dataset.images[0]
        out_of_fold = OutOfFold(
            images=(image,) * 4,
            class_ids=np.zeros(4),
            probabilities=np.zeros((4, 2)),
            folds=np.zeros(4),
            groups=np.array([0, 0, 1, 2]),
            fold_count=5,
            always_training=(image,),
            evaluation=_evaluation(3, 1),
        )
        primary = dataclasses.replace(
            results.primary,
            features=dataclasses.replace(results.primary.features, dataset=dataset),
            out_of_fold=out_of_fold,
        )
        networks = (ArchitectureResult("n", 9, 0.5, (0.25, 0.75), milliseconds=1.0, size=7),)
        training = self.training(
            results=results._replace(primary=primary),
            comparisons=Comparisons(ArchitectureComparison(networks, 0, "smallest")),
        )
        metrics = collect_metrics(training, [])
        metrics = json.loads(json.dumps(metrics))
        found = metrics["cross_validation"]
        self.assertEqual((found["accuracy"], found["folds"], found["groups"]), (0.75, 5, 3))
        self.assertEqual(found["always_training"], ["/p/0/0.jpg"])
        self.assertEqual(metrics["groups"]["divided"], [["a.jpg", "b.jpg"]])
        self.assertEqual(metrics["architectures"]["selected"], "n")
        self.assertNotIn("baseline", metrics)

    def test_the_keys_of_version_1_0_are_there(self):
        metrics = self.collect()
        self.assertEqual(metrics["pictures"], metrics["images"])
        fine_tuning = metrics["fine_tuning"]
        self.assertEqual(fine_tuning["course"], fine_tuning["history"])
        self.assertEqual(fine_tuning["course"]["learned"], [[0.5, 1.0], [2.0, 0.25]])
        self.assertContainsSubset({"at", "others", "chosen", "name"}, fine_tuning["course"])
        self.assertEqual(fine_tuning["with_it"], fine_tuning["tuned"])
        self.assertEqual(fine_tuning["without"], fine_tuning["baseline"])
        self.assertEqual((fine_tuning["test_with"], fine_tuning["test_without"]), (0.5, 0.75))
        self.assertEqual(metrics["exports"][0]["from_pixels"]["pictures"], 50)
        self.assertContainsSubset({"drawings"}, metrics["seconds"])

    def test_the_file_is_written_when_the_run_succeeds(self):
        path = Path(self.create_tempdir().full_path) / "metrics.json"
        for file in (path, None):
            config = TrainingConfig(
                Path("/p"), bottleneck_dir=Path("/cache"), output=OutputOptions(metrics_json=file)
            )
            with Staging() as staging:
                written = stage_metrics(staging, self.training(config=config), [])
                self.assertFalse(path.exists() and file)
            if file:
                self.assertEqual(json.loads(path.read_text())["engine"], "float32")
                path.unlink()
            self.assertEqual([entry.path for entry in written], [file] if file else [])

    def test_numbers_that_json_does_not_have_become_null(self):
        path = Path(self.create_tempdir().full_path) / "metrics.json"
        config = TrainingConfig(
            Path("/p"), bottleneck_dir=Path("/cache"), output=OutputOptions(metrics_json=path)
        )
        # A single validation image has no standard error.
        gain = PairedGain(-0.25, float("inf"), float("inf"))
        fine_tuning = _fine_tuning()._replace(gain=gain)
        with Staging() as staging:
            stage_metrics(staging, self.training(config=config, fine_tuning=fine_tuning), [])

        def refuse(constant: str) -> None:
            self.fail(f"{constant} is not JSON")

        metrics = json.loads(path.read_text(), parse_constant=refuse)
        self.assertIsNone(metrics["fine_tuning"]["standard_error"])
        self.assertIsNone(metrics["fine_tuning"]["required_gain"])
        self.assertEqual(metrics["fine_tuning"]["gain"], -0.25)


if __name__ == "__main__":
    absltest.main()

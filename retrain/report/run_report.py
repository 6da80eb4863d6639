"""Writes what a run reports about single images: the page for browsers and the predictions."""

from retrain.backbones.backbone import Backbone
from retrain.comparison.comparisons import Comparisons
from retrain.config import TrainingConfig
from retrain.data_check.last_check import LastCheck
from retrain.export.formats import WrittenFile
from retrain.export.outputs import Exported
from retrain.fine_tuning.result import FineTuningResult
from retrain.report.predictions import write_predictions
from retrain.system.phase_timer import PhaseTimer
from retrain.system.staging import Staging
from retrain.training.learning_curve import LearningCurve, measure_learning_curve
from retrain.training.results import Results


def stage_reports(
    staging: Staging,
    config: TrainingConfig,
    backbone: Backbone,
    results: Results,
    *,
    fine_tuning: FineTuningResult | None,
    comparisons: Comparisons,
    data_check: LastCheck | None,
    exported: Exported,
    timer: PhaseTimer,
) -> list[WrittenFile]:
    """Writes the files that the config asks for to their temporary places.

    Args:
        staging: Puts the files in place when the run succeeds.
        config: Configuration of the run.
        backbone: Backbone of the classifier.
        results: The trained heads.
        fine_tuning: How fine-tuning went, if there was any.
        comparisons: What the classifier was compared with.
        data_check: Result of the last check of the images, if there was any.
        exported: The exported files.
        timer: Timer of the run's phases.

    Raises:
        UserError: If a file cannot be written.
    """
    written = []
    if path := config.output.predictions:
        with timer.phase("predictions"):
            write_predictions(staging.file(path), results.primary)
        written.append(WrittenFile(path, "all scores of the held-out images"))
    if path := config.output.report:
        # Imported late: most runs write no report.
        from retrain.report.html.report import render_report
        from retrain.report.html.training_run import TrainingRun

        with timer.phase("learning_curve"):
            run = TrainingRun(
                config=config,
                backbone=backbone,
                results=results,
                fine_tuning=fine_tuning,
                graph=exported.graph,
                parity_checks=exported.parity_checks,
                timer=timer,
                learning_curve=_measure_learning_curve(config, backbone, results),
                comparisons=comparisons,
                data_check=data_check,
            )
        with timer.phase("report"):
            staging.file(path).write_text(render_report(run), "utf-8")
        written.append(WrittenFile(path, "the report of this run, for browsers"))
    return written


def _measure_learning_curve(
    config: TrainingConfig, backbone: Backbone, results: Results
) -> LearningCurve | None:
    """Returns the learning curve, or None without cross-validation or for gradient descent.

    Gradient descent would take minutes, and a logistic regression would have another curve.
    """
    result = results.primary
    if result.out_of_fold is None or not result.out_of_fold.images:
        return None
    if result.history is None or result.history.selected is None:
        return None
    return measure_learning_curve(
        result.features,
        config.head,
        result.out_of_fold,
        strength=result.history.selected,
        stage_widths=backbone.stage_widths,
        uses_stages=bool(result.head.weights[backbone.bottleneck_width :].any()),
    )

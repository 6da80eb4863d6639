"""Writes what a run reports about single images: the page for browsers and the predictions."""

from retrain.config import TrainingConfig
from retrain.export.formats import WrittenFile
from retrain.export.outputs import Exported
from retrain.report.finished_training import FinishedTraining
from retrain.report.predictions import write_predictions
from retrain.system.files.user_paths import user_path
from retrain.system.outputs.staging import Staging
from retrain.training.learning_curve import LearningCurve, summarise
from retrain.training.learning_curve_measurement import measure_points


def check(config: TrainingConfig) -> None:
    """Raises UserError if the page would replace another one, or cannot name the current folder."""
    if path := config.output.report:
        # Imported late: most runs write no report.
        from retrain.report.html.page import check_replaceable

        check_replaceable(path, "report")
        user_path(".")


def stage_reports(
    staging: Staging, training: FinishedTraining, exported: Exported
) -> list[WrittenFile]:
    """Writes the files that the config asks for to their temporary places.

    Args:
        staging: Puts the files in place when the run succeeds.
        training: The finished training.
        exported: The exported files.

    Raises:
        UserError: If a file cannot be written.
    """
    output, timer = training.config.output, training.timer
    written = []
    if path := output.predictions:
        with timer.phase("predictions"):
            write_predictions(staging.file(path), training.results.primary)
        written.append(WrittenFile(path, "all scores of the held-out images"))
    if path := output.report:
        # Imported late: most runs write no report.
        from retrain.report.html.report import render_report
        from retrain.report.html.training_run import TrainingRun

        with timer.phase("learning_curve"):
            run = TrainingRun(
                **vars(training),
                graph=exported.graph,
                parity_checks=exported.parity_checks,
                learning_curve=_measure_learning_curve(training),
            )
        with timer.phase("report"):
            staging.file(path).write_text(render_report(run), "utf-8")
        written.append(WrittenFile(path, "the report of this run, for browsers"))
    return written


def _measure_learning_curve(training: FinishedTraining) -> LearningCurve | None:
    """Returns the learning curve, or None without cross-validation or for gradient descent.

    Gradient descent would take minutes, and a logistic regression would have another curve.
    """
    result, backbone = training.results.primary, training.backbone
    if result.out_of_fold is None or not result.out_of_fold.images:
        return None
    if result.history is None or result.history.selected is None:
        return None
    measured = measure_points(
        result.features,
        training.config.head,
        result.out_of_fold,
        strength=result.history.selected,
        stage_widths=backbone.stage_widths,
        uses_stages=bool(result.head.weights[backbone.bottleneck_width :].any()),
    )
    return summarise(measured, seed=training.config.head.seed)

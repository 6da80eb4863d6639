"""Writes the report of a run: one HTML file that contains all that it shows."""

from datetime import datetime
from pathlib import Path

from retrain.report.html import (
    accuracy,
    classes,
    comparison,
    confusion,
    data_check,
    exports,
    learning_curve,
    mistakes,
    reliability,
    reproduction,
    summary,
    thresholds,
    unknowns,
)
from retrain.report.html.page import plural, render, show
from retrain.report.html.training_run import TrainingRun
from retrain.version import VERSION

# In the order of the page. The last ones are for people who work on the classifier.
_SECTIONS = (
    summary.describe,
    accuracy.describe,
    mistakes.describe,
    confusion.describe,
    classes.describe,
    thresholds.describe,
    reliability.describe,
    unknowns.describe,
    learning_curve.describe,
    comparison.describe,
    data_check.describe,
    exports.describe,
    reproduction.describe,
)


# Names of folders that say nothing about their images. The folder above is named, too.
_GENERIC_NAMES = {"data", "dataset", "images", "photos", "pictures", "train", "training"}


def render_report(run: TrainingRun) -> str:
    """Returns the page."""
    sections = [section for describe in _SECTIONS if (section := describe(run))]
    dataset = run.dataset
    return render(
        "report.html",
        name=show(_name(dataset.image_dir)),
        folder=show(dataset.image_dir),
        images=plural(len(dataset.images), "image"),
        classes=plural(len(dataset.labels), "class", "classes"),
        backbone=show(reproduction.hide_secrets(run.backbone.name)),
        date=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        version=VERSION,
        sections=sections,
        contents=sections[1:],
    )


def _name(folder: Path) -> str:
    """Returns a name for the images in a folder, such as "flowers" or "heroes/train"."""
    count = 2 if folder.name.lower() in _GENERIC_NAMES else 1
    return "/".join(folder.parts[1:][-count:]) or str(folder)

"""The section with what the last check of the data set found."""

import shlex

from retrain.data_check import last_check
from retrain.data_check.findings import KINDS
from retrain.report.html.page import show
from retrain.report.html.training_run import Section, TrainingRun


def describe(run: TrainingRun) -> Section:
    """Returns the section. If there was no check, it says how to run one."""
    check = last_check.read(run.config.bottleneck_dir, run.dataset)
    kinds = [
        {"kind": kind, "count": check.counts[kind.name]}
        for kind in KINDS
        if check and check.counts.get(kind.name)
    ]
    values = {
        "check": check,
        "kinds": kinds,
        "command": "bazel run //tools:check_images -- --image_dir="
        f"{shlex.quote(show(run.dataset.image_dir))} --html=check.html",
    }
    return Section("data_check", "Problems in the images", values)

"""The section with what the last check of the data set found."""

from retrain.data_check.findings import KINDS
from retrain.report.html import thumbnails
from retrain.report.html.training_run import Section, TrainingRun
from retrain.system.text import shell_word

_SIDE = 96
_MAX_BYTES = 400_000


def describe(run: TrainingRun) -> Section:
    """Returns the section. If there was no check, it says how to run one."""
    check = run.data_check
    examples = check.examples if check else {}
    urls = thumbnails.encode_all(
        [path for findings in examples.values() for paths in findings for path in paths],
        side=_SIDE,
        max_bytes=_MAX_BYTES,
    )
    kinds = [
        {
            "kind": kind,
            "count": check.counts[kind.name],
            "findings": [
                [{"name": run.name_path(path), "url": urls.get(path)} for path in paths]
                for paths in examples.get(kind.name, ())
            ],
        }
        for kind in KINDS
        if check and check.counts.get(kind.name)
    ]
    values = {
        "check": check,
        "kinds": kinds,
        "command": "bazel run //tools:check_images -- --image_dir="
        f"{shell_word(run.dataset.image_dir)} --html=check.html",
    }
    return Section("data_check", "Problems in the images", values)

"""The section with the exported files and how they compare with the tested classifier."""

from retrain.report.html.training_run import Section, TrainingRun
from retrain.system.text import shell_word


def describe(run: TrainingRun) -> Section | None:
    """Returns the section."""
    rows = [
        {
            "kind": check.kind,
            "size": check.size,
            "milliseconds": check.milliseconds,
            "same": check.from_pixels.agreement,
            "largest": check.from_pixels.largest,
            "same_from_files": check.from_files.agreement if check.from_files else None,
        }
        for check in run.parity_checks
    ]
    images = max((check.from_pixels.images for check in run.parity_checks), default=0)
    values = {
        "rows": rows,
        "images": images,
        "graph": shell_word(run.config.output.output_graph),
        "decoding": any(row["same_from_files"] is not None for row in rows),
    }
    return Section("exports", "The exported files", values)

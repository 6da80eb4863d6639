"""The section with the metrics and the numbers of images of each class."""

from collections import Counter

from retrain.data.splits import TEST, TRAINING, VALIDATION
from retrain.report.html.page import show
from retrain.report.html.training_run import Section, TrainingRun

_SPLITS = (TRAINING, VALIDATION, TEST)
# Rows that are shown at once. The others have to be opened.
_FIRST_ROWS = 50
_MAX_UNREADABLE = 10


def describe(run: TrainingRun) -> Section | None:
    """Returns the section, the weakest classes first."""
    counts = Counter((image.class_id, image.split) for image in run.dataset.images)
    confusion = run.held_out.evaluation.confusion
    rows = []
    for class_id, scores in enumerate(run.held_out.evaluation.classes):
        mistaken = Counter(
            {other: n for other, n in enumerate(confusion[class_id]) if n and other != class_id}
        )
        worst = mistaken.most_common(1)
        rows.append(
            {
                "label": show(run.dataset.labels[class_id]),
                "images": [counts[class_id, split] for split in _SPLITS],
                "judged": scores.count,
                "recall": scores.recall,
                "precision": scores.precision,
                "taken_for": run.labels[worst[0][0]] if worst else None,
                "taken_count": worst[0][1] if worst else 0,
            }
        )
    rows.sort(key=lambda row: (row["recall"] is None, row["recall"], row["precision"] or 0))
    unreadable = {
        run.name_path(path): reason
        for result in run.results.all()
        for path, reason in result.features.unreadable.items()
    }
    values = {
        "splits": _SPLITS,
        "totals": [len(run.dataset.split(split)) for split in _SPLITS],
        "first": rows[:_FIRST_ROWS],
        "others": rows[_FIRST_ROWS:],
        "unreadable": list(unreadable.items())[:_MAX_UNREADABLE],
        "unreadable_count": len(unreadable),
    }
    return Section("classes", "Each class", values)

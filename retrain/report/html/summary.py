"""The first section: how good the classifier is, where it fails, and what to do next."""

from retrain.report.html.accuracy import name_judged
from retrain.report.html.advice import next_steps, weakest_classes
from retrain.report.html.training_run import Section, TrainingRun

_MAX_PAIRS = 3


def describe(run: TrainingRun) -> Section:
    """Returns the section."""
    evaluation = run.held_out.evaluation
    pairs = sorted(
        ((mistake.truth, mistake.predicted) for mistake in evaluation.misclassified),
    )
    counts = {pair: pairs.count(pair) for pair in dict.fromkeys(pairs)}
    largest = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_MAX_PAIRS]
    values = {
        "accuracy": evaluation.accuracy,
        "interval": evaluation.interval,
        "baseline": evaluation.baseline,
        "judged": name_judged(run),
        "cross_validated": bool(run.held_out.fold_count),
        "test": run.result.test,
        "mistake_count": len(evaluation.misclassified),
        "pairs": [
            (run.labels[truth], run.labels[predicted], count)
            for (truth, predicted), count in largest
        ],
        "weakest": [
            (run.labels[class_id], evaluation.classes[class_id].recall)
            for class_id in weakest_classes(run)
        ],
        "steps": next_steps(run),
    }
    return Section("summary", "Summary", values)

"""The numbers of a run as text for people and scripts, and as JSON."""

import dataclasses
import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from retrain.backbones.engines import INT8
from retrain.bottlenecks import Bottlenecks
from retrain.clock import Clock
from retrain.config import TrainingConfig
from retrain.evaluation import Evaluation
from retrain.export.parity import Checked, Difference, Sample
from retrain.images import Dataset, Picture
from retrain.runtime import one_line
from retrain.splits import TEST, TRAINING, VALIDATION
from retrain.trained import FineTuned, Trained

_CONFUSIONS_SHOWN = 3

_DECODING = "  decoding itself"

# Times as many pictures in one category as in another, from which on the accuracy says little of
# the small ones.
_IMBALANCE = 2


class Written(NamedTuple):
    """A file that was written, and what it is."""

    path: Path
    what: str


def dataset_line(dataset: Dataset) -> str:
    """Returns how many pictures and categories there are."""
    parts = ", ".join(f"{len(dataset.split(p))} for {p}" for p in (TRAINING, VALIDATION, TEST))
    return f"{len(dataset.pictures)} pictures in {len(dataset.labels)} categories: {parts}."


def bottlenecks_line(features: Bottlenecks) -> str:
    """Returns where the bottlenecks came from."""
    by = f" by {features.engine}" if features.computed else ""
    return f"Bottlenecks: {features.computed:,} computed{by}, {features.reused:,} from the cache."


def accuracy_line(evaluation: Evaluation) -> str:
    """Returns the line that scripts have looked for since 2015."""
    if evaluation.accuracy is None:
        return "Final test accuracy is unknown: no pictures were held out for testing (N=0)"
    return f"Final test accuracy = {100 * evaluation.accuracy:.1f}% (N={evaluation.count})"


def explanation(evaluation: Evaluation, dataset: Dataset) -> list[str]:
    """Returns lines that say what the accuracy is worth, and which categories are confused."""
    if evaluation.accuracy is None or evaluation.interval is None or evaluation.baseline is None:
        return []
    low, high = (100 * bound for bound in evaluation.interval)
    lines = [
        f"With {evaluation.count} test pictures the true accuracy is likely between {low:.1f}% and "
        f"{high:.1f}%; always the commonest category would reach {100 * evaluation.baseline:.1f}%."
    ]
    if evaluation.accuracy < evaluation.baseline:
        lines.append("That is worse than guessing: the pictures, or their labels, teach nothing.")
    counts = Counter(picture.category for picture in dataset.pictures).values()
    if max(counts) > _IMBALANCE * min(counts) and evaluation.balanced_accuracy is not None:
        lines.append(
            f"Balanced accuracy = {100 * evaluation.balanced_accuracy:.1f}%: the mean over "
            f"categories, which have {min(counts)} to {max(counts)} pictures."
        )
    confused = [
        f"{count} x {one_line(dataset.labels[truth])} taken for {one_line(dataset.labels[guess])}"
        for count, truth, guess in _largest_confusions(evaluation)
    ]
    return lines + ([f"Most confused: {', '.join(confused)}."] if confused else [])


def _largest_confusions(evaluation: Evaluation) -> list[tuple[int, int, int]]:
    cells = [
        (int(count), truth, guess)
        for truth, row in enumerate(evaluation.confusion)
        for guess, count in enumerate(row)
        if truth != guess and count
    ]
    return sorted(cells, key=lambda cell: (-cell[0], *cell[1:]))[:_CONFUSIONS_SHOWN]


def misclassified_lines(
    evaluation: Evaluation, pictures: Sequence[Picture], labels: Sequence[str]
) -> list[str]:
    """Returns the original's list of test pictures with a wrong label, with the score added."""
    lines = ["=== MISCLASSIFIED TEST IMAGES ==="]
    for mistake in evaluation.misclassified:
        path = one_line(pictures[mistake.index].path)
        lines.append(f"{path:>70}  {one_line(labels[mistake.predicted])} ({mistake.score:.5f})")
    return lines if evaluation.misclassified else [*lines, "none"]


def written_lines(written: Sequence[Written], graph: Path, example: Path) -> list[str]:
    """Returns which files there are now, and the command that labels a picture with them."""
    width = max(len(str(file.path)) for file in written)
    lines = ["Wrote:"] + [f"  {file.path!s:{width}}  {file.what}" for file in written]
    lines += ["Label a picture with it:"]
    return [*lines, f"  bazel run //label_image -- --graph={graph} {_quoted(example)}"]


def _quoted(path: Path) -> str:
    return shlex.quote(one_line(path))


def exports_table(checked: Sequence[Checked], sample: Sample) -> list[str]:
    """Returns lines that say of each file what was found out."""
    others = len(sample.paths) - sample.held_out
    which = f"{sample.held_out} held-out pictures" + (f" and {others} others" if others else "")
    width = max(len(name) for name in (_DECODING, *(file.kind for file in checked)))
    lines = [
        f"Compared with the tested classifier on {which}:",
        f"  {'':{width}}  same label  difference: largest  mean      size  a picture",
    ]
    for file in checked:
        size, spent = f"{file.size / 1e6:.1f} MB", "elsewhere"
        if file.milliseconds is not None:
            spent = f"{file.milliseconds:.1f} ms"
        lines.append(f"  {file.kind:{width}}  {_columns(file.from_pixels)}  {size:>8}  {spent:>9}")
        if file.from_files:
            lines.append(f"  {_DECODING:{width}}  {_columns(file.from_files)}")
    if any(file.milliseconds is None for file in checked):
        lines.append("  (elsewhere: this machine cannot run it, so that a reference answered)")
    return lines


def _columns(difference: Difference) -> str:
    return f"{100 * difference.agreement:8.1f} %  {difference.largest:19.1e}  {difference.mean:.0e}"


def print_results(
    config: TrainingConfig,
    trained: Mapping[str, Trained],
    fine_tuned: FineTuned | None,
    written: Sequence[Written],
    table: Sequence[str],
) -> None:
    """Prints to standard output how good the classifier is, and what can be done with it.

    Args:
        config: of the run.
        trained: by the name of the engine that the features are of; the graph's head last.
        fine_tuned: what came out where the network learned, too.
        written: files.
        table: how they answer.
    """
    *_, best = trained.values()
    int8 = trained.get(INT8)
    labels = best.features.dataset.labels
    pictures = best.tested.pictures
    lines = []
    if config.print_misclassified_test_images:
        lines += misclassified_lines(best.test, pictures, labels)
    lines += [accuracy_line(best.test), *explanation(best.test, best.features.dataset)]
    if fine_tuned and fine_tuned.kept and fine_tuned.test_without is not None:
        lines.append(f"Without fine-tuning: {100 * fine_tuned.test_without:.1f}%.")
    if int8 and int8.test.accuracy is not None:
        lines.append(f"In int8, with a last layer of its own: {100 * int8.test.accuracy:.1f}%.")
    example = (pictures or best.features.dataset.pictures)[0].path
    lines += table
    print("\n".join(lines + written_lines(written, config.output.output_graph, example)))


def metrics(
    config: TrainingConfig,
    trained: Mapping[str, Trained],
    fine_tuned: FineTuned | None,
    checked: Sequence[Checked],
    clock: Clock,
) -> str:
    """Returns all numbers of a run as JSON.

    Args:
        config: of the run.
        trained: by the name of the engine that the features are of; the graph's head last.
        fine_tuned: what came out where the network learned, too.
        checked: what was found out of each classifier that was written.
        clock: of the run.
    """
    *_, best = trained.values()
    features, dataset = best.features, best.features.dataset
    content = {
        "format_version": 1,
        "labels": dataset.labels,
        "folders": dataset.folders,
        "architecture": config.backbone.name,
        "pictures": {
            **{part: len(dataset.split(part)) for part in (TRAINING, VALIDATION, TEST)},
            "bottlenecks_computed": sum(t.features.computed for t in trained.values()),
            "unreadable": {
                str(path): why
                for it in trained.values()
                for path, why in it.features.unreadable.items()
            },
        },
        "training": config.used(),
        "engine": features.engine,
        **_evaluations(best),
        **{f"in_{INT8}": _evaluations(t) for name, t in trained.items() if name == INT8},
        **({"fine_tuning": _fine_tuning(fine_tuned, dataset.labels)} if fine_tuned else {}),
        "exports": [dataclasses.asdict(file) for file in checked],
        "seconds": {phase: round(spent, 3) for phase, spent in clock.seconds.items()},
    }
    return json.dumps(content, indent=2) + "\n"


def _fine_tuning(fine_tuned: FineTuned, labels: Sequence[str]) -> dict[str, object]:
    return {
        **fine_tuned._asdict(),
        "course": dataclasses.asdict(fine_tuned.course),
        "with_it": fine_tuned.with_it.as_json(labels),
        "without": fine_tuned.without.as_json(labels),
    }


def _evaluations(trained: Trained) -> dict[str, object]:
    labels = trained.features.dataset.labels
    return {part: evaluation.as_json(labels) for part, evaluation in trained.evaluations.items()}

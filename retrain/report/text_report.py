"""The numbers of a run as text for people and scripts, and as JSON."""

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from retrain.backbones.engines import INT8
from retrain.config import TrainingConfig
from retrain.data.dataset import Dataset, ImageFile
from retrain.data.splits import TEST, TRAINING, VALIDATION
from retrain.export.formats import Written
from retrain.system.text import one_line
from retrain.training.evaluation import Evaluation
from retrain.training.results import FineTuned, Trained

_CONFUSIONS_SHOWN = 3

# Times as many images in one class as in another, from which on the accuracy says little of
# the small ones.
_IMBALANCE = 2


def dataset_line(dataset: Dataset) -> str:
    """Returns how many images and classes there are."""
    parts = ", ".join(f"{len(dataset.split(p))} for {p}" for p in (TRAINING, VALIDATION, TEST))
    return f"{len(dataset.images)} images in {len(dataset.labels)} classes: {parts}."


def accuracy_line(evaluation: Evaluation) -> str:
    """Returns the line that scripts have looked for since 2015."""
    if evaluation.accuracy is None:
        return "Final test accuracy is unknown: no images were held out for testing (N=0)"
    return f"Final test accuracy = {100 * evaluation.accuracy:.1f}% (N={evaluation.count})"


def explanation(evaluation: Evaluation, dataset: Dataset) -> list[str]:
    """Returns lines that say what the accuracy is worth, and which classes are confused."""
    if evaluation.accuracy is None or evaluation.interval is None or evaluation.baseline is None:
        return []
    low, high = (100 * bound for bound in evaluation.interval)
    lines = [
        f"With {evaluation.count} test images the true accuracy is likely between {low:.1f}% and "
        f"{high:.1f}%; always the commonest class would reach {100 * evaluation.baseline:.1f}%."
    ]
    if evaluation.accuracy < evaluation.baseline:
        lines.append("That is worse than guessing: the images, or their labels, teach nothing.")
    counts = Counter(image.class_id for image in dataset.images).values()
    if max(counts) > _IMBALANCE * min(counts) and evaluation.balanced_accuracy is not None:
        lines.append(
            f"Balanced accuracy = {100 * evaluation.balanced_accuracy:.1f}%: the mean over "
            f"classes, which have {min(counts)} to {max(counts)} images."
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
    evaluation: Evaluation, images: Sequence[ImageFile], labels: Sequence[str]
) -> list[str]:
    """Returns the original's list of test images with a wrong label, with the score added."""
    lines = ["=== MISCLASSIFIED TEST IMAGES ==="]
    for mistake in evaluation.misclassified:
        path = one_line(images[mistake.index].path)
        lines.append(f"{path:>70}  {one_line(labels[mistake.predicted])} ({mistake.score:.5f})")
    return lines if evaluation.misclassified else [*lines, "none"]


def written_lines(written: Sequence[Written], graph: Path, example: Path) -> list[str]:
    """Returns which files there are now, and the command that labels an image with them."""
    width = max(len(str(file.path)) for file in written)
    lines = ["Wrote:"] + [f"  {file.path!s:{width}}  {file.what}" for file in written]
    lines += ["Label an image with it:"]
    return [*lines, f"  bazel run //label_image -- --graph={graph} {_quoted(example)}"]


def _quoted(path: Path) -> str:
    return shlex.quote(one_line(path))


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
    images = best.tested.images
    lines = []
    if config.print_misclassified_test_images:
        lines += misclassified_lines(best.test, images, labels)
    lines += [accuracy_line(best.test), *explanation(best.test, best.features.dataset)]
    if fine_tuned and fine_tuned.kept and fine_tuned.test_without is not None:
        lines.append(f"Without fine-tuning: {100 * fine_tuned.test_without:.1f}%.")
    if int8 and int8.test.accuracy is not None:
        lines.append(f"In int8, with a last layer of its own: {100 * int8.test.accuracy:.1f}%.")
    example = (images or best.features.dataset.images)[0].path
    lines += table
    print("\n".join(lines + written_lines(written, config.output.output_graph, example)))

"""Prints the results of a run as text, for people and for scripts."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from retrain.data.dataset import Dataset, ImageFile
from retrain.export.formats import WrittenFile
from retrain.report.comparison_lines import architecture_lines, baseline_lines
from retrain.report.finished_training import FinishedTraining
from retrain.system.text import one_line, shell_word
from retrain.training.cross_validation import OutOfFold
from retrain.training.evaluation import Evaluation

_MAX_CONFUSIONS = 3

# If the largest class has more than this multiple of the images of the smallest one, the accuracy
# says little about the small classes, and the balanced accuracy is printed as well.
_IMBALANCE_RATIO = 2


def accuracy_line(evaluation: Evaluation) -> str:
    """Returns the line with the test accuracy, which scripts have read since 2015."""
    if evaluation.accuracy is None:
        return "Final test accuracy is unknown: no images were held out for testing (N=0)"
    return f"Final test accuracy = {100 * evaluation.accuracy:.1f}% (N={evaluation.count})"


def explain_accuracy(evaluation: Evaluation, dataset: Dataset) -> list[str]:
    """Returns lines about the confidence interval, the baseline and the confused classes."""
    if evaluation.accuracy is None or evaluation.interval is None or evaluation.baseline is None:
        return []
    low, high = (100 * bound for bound in evaluation.interval)
    lines = [
        f"With {evaluation.count} test images, the true accuracy is likely between {low:.1f}% and "
        f"{high:.1f}%. Majority-class baseline: {100 * evaluation.baseline:.1f}%."
    ]
    if evaluation.accuracy < evaluation.baseline:
        lines.append(
            "The accuracy is below the baseline: check that the images and their labels match."
        )
    counts = Counter(image.class_id for image in dataset.images).values()
    imbalanced = max(counts) > _IMBALANCE_RATIO * min(counts)
    if imbalanced and evaluation.balanced_accuracy is not None:
        lines.append(
            f"Balanced accuracy = {100 * evaluation.balanced_accuracy:.1f}%: the mean over "
            f"classes, which have {min(counts)} to {max(counts)} images."
        )
    confusions = [
        f"{count} x {one_line(dataset.labels[truth])} as {one_line(dataset.labels[predicted])}"
        for count, truth, predicted in _largest_confusions(evaluation)
    ]
    return lines + ([f"Most confused: {', '.join(confusions)}."] if confusions else [])


def cross_validation_lines(result: OutOfFold | None, *, pretrained: bool = False) -> list[str]:
    """Returns the line with the cross-validated accuracy, if there is one.

    Args:
        result: Result of the cross-validation.
        pretrained: Whether the classifier's backbone was fine-tuned, unlike that of the result.
    """
    if result is None:
        return []
    evaluation = result.evaluation
    if evaluation.accuracy is None or evaluation.interval is None:
        return [
            "Cross-validated accuracy is unknown: all images of each class are in one group, so no "
            "image can be held out"
        ]
    low, high = (100 * bound for bound in evaluation.interval)
    without = " without fine-tuning" if pretrained else ""
    return [
        f"Cross-validated accuracy{without} = {100 * evaluation.accuracy:.1f}% "
        f"(N={evaluation.count}), likely between {low:.1f}% and {high:.1f}%: "
        f"{result.fold_count} classifiers, each tested on images that it was not trained on."
    ]


def _largest_confusions(evaluation: Evaluation) -> list[tuple[int, int, int]]:
    cells = [
        (int(count), truth, predicted)
        for truth, row in enumerate(evaluation.confusion)
        for predicted, count in enumerate(row)
        if truth != predicted and count
    ]
    return sorted(cells, key=lambda cell: (-cell[0], *cell[1:]))[:_MAX_CONFUSIONS]


def misclassified_lines(
    evaluation: Evaluation, images: Sequence[ImageFile], labels: Sequence[str]
) -> list[str]:
    """Returns the misclassified test images in the format of TensorFlow's script, with scores."""
    lines = ["=== MISCLASSIFIED TEST IMAGES ==="]
    for mistake in evaluation.misclassified:
        path = one_line(images[mistake.index].path)
        lines.append(f"{path:>70}  {one_line(labels[mistake.predicted])} ({mistake.score:.5f})")
    return lines if evaluation.misclassified else [*lines, "none"]


def written_lines(files: Sequence[WrittenFile], graph: Path, example: Path) -> list[str]:
    """Returns the list of written files, and the command that labels an image."""
    width = max(len(str(file.path)) for file in files)
    return [
        "Wrote:",
        *(f"  {file.path!s:{width}}  {file.description}" for file in files),
        "To label an image:",
        f"  bazel run //label_image -- --graph={shell_word(graph)} {shell_word(example)}",
    ]


def print_results(
    training: FinishedTraining, files: Sequence[WrittenFile], parity_table: Sequence[str]
) -> None:
    """Prints the accuracy, the parity checks and the written files to standard output.

    Args:
        training: The finished training.
        files: All files that the run wrote.
        parity_table: Lines of the table of parity checks.
    """
    config, results, fine_tuning = training.config, training.results, training.fine_tuning
    primary, dataset = results.primary, results.primary.features.dataset
    test_images = primary.test_features.images
    lines = []
    if config.print_misclassified_test_images:
        lines += misclassified_lines(primary.test, test_images, dataset.labels)
    lines += [accuracy_line(primary.test), *explain_accuracy(primary.test, dataset)]
    if fine_tuning and fine_tuning.kept and fine_tuning.test_baseline is not None:
        lines.append(f"Without fine-tuning: {100 * fine_tuning.test_baseline:.1f}%.")
    pretrained = fine_tuning.baseline_out_of_fold if fine_tuning and fine_tuning.kept else None
    lines += cross_validation_lines(
        pretrained or primary.out_of_fold, pretrained=pretrained is not None
    )
    if results.int8 and results.int8.test.accuracy is not None:
        lines.append(f"In int8, with a head of its own: {100 * results.int8.test.accuracy:.1f}%.")
    lines += baseline_lines(training.comparisons.baseline)
    lines += architecture_lines(training.comparisons.architectures)
    example = (test_images or dataset.images)[0].path
    lines += [*parity_table, *written_lines(files, config.output.output_graph, example)]
    print("\n".join(lines))

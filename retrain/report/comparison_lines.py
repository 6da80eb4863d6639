"""Formats the comparisons of a run as lines of text."""

from collections.abc import Iterator, Sequence

from retrain.comparison.architectures import ArchitectureComparison
from retrain.comparison.baseline import BaselineComparison, DifferingImage
from retrain.comparison.mcnemar import PairedCounts
from retrain.config import SMALLEST
from retrain.system.text import name_some, one_line

_MAX_IMAGES = 5


def architecture_lines(comparison: ArchitectureComparison | None) -> list[str]:
    """Returns a table of the networks that were compared, and which one is used."""
    if comparison is None:
        return []
    results = comparison.results
    width = max(len(result.name) for result in results)
    lines = [
        f"Networks, by cross-validation on {results[0].count:,} training and validation images:",
        f"  {'':{width}}  accuracy  likely between       an image      size",
    ]
    for row, result in enumerate(results):
        low, high = (100 * bound for bound in result.interval)
        mark = "  <- used" if row == comparison.selected else ""
        lines.append(
            f"  {result.name:{width}}  {100 * result.accuracy:6.1f} %  {low:5.1f} and {high:5.1f} %"
            f"  {result.milliseconds:8.1f} ms  {result.size / 1e6:5.1f} MB{mark}"
        )
    reason = (
        "the smallest within one standard error of the best; --select_architecture=most_accurate "
        "uses the best"
        if comparison.select == SMALLEST
        else "the most accurate"
    )
    return [*lines, f"{results[comparison.selected].name} is {reason}."]


def baseline_lines(comparison: BaselineComparison | None) -> list[str]:
    """Returns what the new classifier gets right that the old one gets wrong, and the reverse."""
    if comparison is None:
        return []
    count = len(comparison.common_labels)
    classes = f"the {count} classes" if count > 1 else "the class"
    heading = "Compared with --baseline_graph"
    if not comparison.counts.count:
        return [f"{heading}: no image of {classes} that both have is held out for testing."]
    return [
        f"{heading} on {comparison.counts.count:,} test images of {classes} that both have:",
        *(f"  {line}" for line in _baseline_details(comparison)),
    ]


def _baseline_details(comparison: BaselineComparison) -> Iterator[str]:
    yield _counts_line(comparison.counts)
    for name, images in (("new", comparison.gained), ("old", comparison.lost)):
        if images:
            yield f"Only the {name} one is right about: {_name_images(images)}"
    if comparison.seen_count is None or comparison.unseen_counts is None:
        yield (
            "The file of the old one does not say how its images were split. If it was trained on "
            "some of these images, it seems better than it is."
        )
    elif comparison.seen_count:
        yield (
            f"The names of {comparison.seen_count:,} of these images put them into the training or "
            "validation split of the old one, so that it seems better than it is."
        )
        if comparison.unseen_counts.count:
            yield f"Without them: {_counts_line(comparison.unseen_counts)}"
    else:
        yield "By their names, the old one was not trained on any of these images."


def _counts_line(counts: PairedCounts) -> str:
    return (
        f"both are right about {counts.both:,}, only the new one about {counts.only_new:,}, only "
        f"the old one about {counts.only_old:,}, neither about {counts.neither:,}. "
        f"{counts.verdict()}"
    )


def _name_images(images: Sequence[DifferingImage]) -> str:
    texts = (
        f"{one_line(image.path)} ({one_line(image.label)}; new: {one_line(image.new)}, old: "
        f"{one_line(image.old)})"
        for image in images
    )
    return name_some(texts, most=_MAX_IMAGES)

"""Formats the result of a check as text."""

from collections.abc import Iterator

from retrain.data_check.findings import KINDS, Finding
from retrain.system.text import name_some, one_line
from tools.check.data_check import CheckResult

_MAX_IMAGES_NAMED = 4


def format_text(result: CheckResult, *, max_listed: int) -> str:
    """Returns a summary, and the first findings of each kind.

    Args:
        result: Result of the check.
        max_listed: Maximum number of findings to list for each kind.
    """
    counts = result.count()
    images, classes = len(result.dataset.images), len(result.dataset.labels)
    lines = [
        f"{images:,} images in {classes:,} classes, {result.readable_count:,} of them readable"
    ]
    if not counts:
        return "\n".join([*lines, "No problems were found."])
    width = len(f"{max(counts.values()):,}")
    lines += [
        f"  {counts[kind.name]:{width},}  {kind.title} ({kind.name})"
        for kind in KINDS
        if counts[kind.name]
    ]
    for kind in KINDS:
        findings = result.of_kind(kind.name)
        if findings:
            lines += ["", f"{kind.title}: {kind.advice}"]
            lines += _list(findings, result, max_listed)
    return "\n".join(lines)


def _list(findings: list[Finding], result: CheckResult, max_listed: int) -> Iterator[str]:
    for finding in findings[:max_listed]:
        yield f"  {one_line(describe(finding, result))}"
    if len(findings) > max_listed:
        yield f"  and {len(findings) - max_listed:,} more"


def describe(finding: Finding, result: CheckResult) -> str:
    """Returns the images or classes of a finding, and what was measured."""
    names = finding.classes or tuple(map(result.name_image, finding.images))
    listed = name_some(names, most=_MAX_IMAGES_NAMED, separator=" = " if finding.images else ", ")
    return f"{listed} ({finding.detail})" if finding.detail else listed

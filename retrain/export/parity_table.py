"""Formats the results of parity checks as a table for people."""

from collections.abc import Sequence

from retrain.export.difference import Difference
from retrain.export.parity import ParityCheck
from retrain.export.parity_sample import Sample

_DECODING = "  decoding itself"


def format_table(
    checks: Sequence[ParityCheck], sample: Sample, *, unverified: Sequence[str] = ()
) -> list[str]:
    """Returns the lines of a table with one or two rows per file.

    Args:
        checks: Results of the checks.
        sample: Images that the files were checked with.
        unverified: Names of the formats that could not be checked.
    """
    others = len(sample.paths) - sample.held_out
    images = f"{sample.held_out} held-out images" + (f" and {others} others" if others else "")
    width = max(len(name) for name in (_DECODING, *unverified, *(check.kind for check in checks)))
    lines = [
        f"Compared with the tested classifier on {images}:",
        f"  {'':{width}}  same label  difference: largest  mean      size  an image",
    ]
    for check in checks:
        size, duration = f"{check.size / 1e6:.1f} MB", "elsewhere"
        if check.milliseconds is not None:
            duration = f"{check.milliseconds:.1f} ms"
        columns = _columns(check.from_pixels)
        lines.append(f"  {check.kind:{width}}  {columns}  {size:>8}  {duration:>9}")
        if check.from_files:
            lines.append(f"  {_DECODING:{width}}  {_columns(check.from_files)}")
    lines += [f"  {name:{width}}  not verified" for name in unverified]
    if any(check.milliseconds is None for check in checks):
        lines.append("  (elsewhere: this machine cannot run the file, so a reference ran instead)")
    return lines


def _columns(difference: Difference) -> str:
    return f"{100 * difference.agreement:8.1f} %  {difference.largest:19.1e}  {difference.mean:.0e}"

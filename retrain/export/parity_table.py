"""What the parity checks found, as a table for people."""

from collections.abc import Sequence

from retrain.export.parity import Checked, Difference, Sample

_DECODING = "  decoding itself"


def exports_table(checked: Sequence[Checked], sample: Sample) -> list[str]:
    """Returns lines that say of each file what was found out."""
    others = len(sample.paths) - sample.held_out
    which = f"{sample.held_out} held-out images" + (f" and {others} others" if others else "")
    width = max(len(name) for name in (_DECODING, *(file.kind for file in checked)))
    lines = [
        f"Compared with the tested classifier on {which}:",
        f"  {'':{width}}  same label  difference: largest  mean      size  an image",
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

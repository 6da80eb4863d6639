"""Names of folders to the labels that programs show."""

import logging
import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence

from retrain.system.text import name_some

# Control signs, halves of surrogate pairs (what Python makes of invalid names), line separators.
_NOT_IN_A_LINE = ("Cc", "Cs", "Zl", "Zp")


def labels_of(names: Sequence[str]) -> tuple[str, ...]:
    """Returns a label for each folder name: unique, not empty, and one line of valid Unicode.

    A label is the name in lower case, with one space for each run of signs that are no letters or
    digits. The original knew those of English alone; of all others it left no more than gaps. A
    name of which this leaves nothing, or the same as of another name, is itself the label, and a
    warning says so.

    Args:
        names: of the folders, each different.
    """
    plain = [_plain(name) for name in names]
    uses = Counter(plain)
    taken = {label for label, count in uses.items() if label and count == 1}
    labels: list[str] = []
    kept: list[str] = []
    for name, label in zip(names, plain, strict=True):
        if label not in taken:
            label = _unique(_line(name), [*taken, *labels])
            kept.append(name)
        labels.append(label)
    if kept:
        logging.warning(
            "These folders keep their names as labels, because without signs and capital letters "
            "nothing would be left of them, or the same as of another: %s.",
            name_some(kept),
        )
    return tuple(labels)


def _plain(name: str) -> str:
    composed = unicodedata.normalize("NFC", name.lower())
    return " ".join("".join(sign if _is_in_words(sign) else " " for sign in composed).split())


def _is_in_words(sign: str) -> bool:
    # Letters, marks, without which many scripts cannot be written, and numbers.
    return unicodedata.category(sign)[0] in "LMN"


def _line(name: str) -> str:
    text = "".join("?" if unicodedata.category(sign) in _NOT_IN_A_LINE else sign for sign in name)
    return unicodedata.normalize("NFC", text).strip() or "?"


def _unique(label: str, others: Collection[str]) -> str:
    result = label
    number = 1
    while result in others:
        number += 1
        result = f"{label} ({number})"
    return result

"""Converts the names of class folders to the labels that programs show."""

import logging
import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence

from retrain.system.text import name_some

# Control characters, surrogates (as in names that are not valid text), line and paragraph
# separators.
_NOT_IN_A_LINE = ("Cc", "Cs", "Zl", "Zp")


def make_labels(folders: Sequence[str]) -> tuple[str, ...]:
    """Returns a label for each folder: unique, not empty, and a single line of valid Unicode.

    A label is the folder name in lower case, with every run of characters other than letters and
    digits replaced by a space. TensorFlow's `retrain.py` does the same, but keeps only the letters
    a to z. If this leaves nothing, or the same text as for another folder, the label is the name
    itself and a warning is logged.

    Args:
        folders: Names of the folders, all different.
    """
    simplified = [_simplify(name) for name in folders]
    uses = Counter(simplified)
    unique = {label for label, count in uses.items() if label and count == 1}
    labels: list[str] = []
    unchanged: list[str] = []
    for name, label in zip(folders, simplified, strict=True):
        if label not in unique:
            label = _number_if_taken(_single_line(name), [*unique, *labels])
            unchanged.append(name)
        labels.append(label)
    if unchanged:
        logging.warning(
            "Labels are the unchanged names of these folders, because the simplified names would "
            "be empty or not unique: %s.",
            name_some(unchanged),
        )
    return tuple(labels)


def _simplify(name: str) -> str:
    composed = unicodedata.normalize("NFC", name.lower())
    return " ".join("".join(c if _is_in_words(c) else " " for c in composed).split())


def _is_in_words(character: str) -> bool:
    # Letters, numbers, and marks, which many scripts cannot be written without.
    return unicodedata.category(character)[0] in "LMN"


def _single_line(name: str) -> str:
    text = "".join("?" if unicodedata.category(c) in _NOT_IN_A_LINE else c for c in name)
    return unicodedata.normalize("NFC", text).strip() or "?"


def _number_if_taken(label: str, taken: Collection[str]) -> str:
    result = label
    number = 1
    while result in taken:
        number += 1
        result = f"{label} ({number})"
    return result

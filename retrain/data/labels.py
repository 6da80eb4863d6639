"""Converts the names of class folders to the labels that programs show."""

import logging
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence

from retrain.data import look_alikes
from retrain.system.text import JOINERS, name_some

# Control characters, surrogates (as in names that are not valid text), line and paragraph
# separators.
_NOT_IN_A_LINE = ("Cc", "Cs", "Zl", "Zp")

# Carries marks that stand alone, such as the vowel signs of a script (Unicode Standard, 7.9).
_DOTTED_CIRCLE = "\u25cc"

_MAX_GROUPS_NAMED = 3


def make_labels(folders: Sequence[str]) -> tuple[str, ...]:
    """Returns a label for each folder: unique, not empty, and a single line of valid Unicode.

    A label is the folder name in lower case, with every run of characters other than letters and
    digits replaced by a space. TensorFlow's `retrain.py` does the same, but keeps only the letters
    a to z. If this leaves nothing, or the same text as for another folder, the label is the name
    itself and a warning is logged. Another warning names labels that look the same.

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
    _warn_of_look_alikes(labels)
    return tuple(labels)


def find_collisions(folders: Sequence[str]) -> list[list[str]]:
    """Returns the groups of folders whose labels differ only in case, punctuation or look."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in folders:
        groups[_simplify(name) or name].append(name)
    collisions = [names for names in groups.values() if len(names) > 1]
    shown = [label for label, names in groups.items() if len(names) == 1]
    similar = look_alikes.find_look_alikes(shown)
    return collisions + [[groups[label][0] for label in labels] for labels in similar]


def _simplify(name: str) -> str:
    composed = unicodedata.normalize("NFC", name.lower())
    kept = ""
    for index, character in enumerate(composed):
        ends_in_word = bool(kept) and kept[-1] != " "
        if _is_letter_or_number(character):
            kept += character
        elif _is_mark(character):
            # A mark is part of the character before it. Without one, it would be invisible, or
            # would change the character that comes next on the screen.
            kept += character if ends_in_word else " "
        elif character in JOINERS:
            kept += character if ends_in_word and _continues(composed, index) else " "
        else:
            kept += " "
    return " ".join(kept.split())


def _is_letter_or_number(character: str) -> bool:
    return unicodedata.category(character)[0] in "LN" and character not in look_alikes.FILLERS


def _is_mark(character: str) -> bool:
    # Many scripts cannot be written without marks.
    return unicodedata.category(character)[0] == "M"


def _continues(text: str, index: int) -> bool:
    """Returns whether the next character that is not a joiner belongs to the same word."""
    following = text[index:].lstrip(JOINERS)[:1]
    return bool(following) and (_is_letter_or_number(following) or _is_mark(following))


def _single_line(name: str) -> str:
    text = "".join("?" if unicodedata.category(c) in _NOT_IN_A_LINE else c for c in name)
    label = unicodedata.normalize("NFC", text).strip()
    if all(map(look_alikes.is_invisible, label)):
        return "?"
    return unicodedata.normalize("NFC", _add_bases(label)).strip()


def _add_bases(text: str) -> str:
    """Gives each mark that follows no visible character a dotted circle to stand on.

    Variation selectors and joiners there are removed, because they have no shape.
    """
    result = ""
    for character in text:
        if (_is_mark(character) or character in JOINERS) and not look_alikes.has_base(result):
            if look_alikes.is_invisible(character):
                continue
            result += _DOTTED_CIRCLE
        result += character
    return result


def _warn_of_look_alikes(labels: Sequence[str]) -> None:
    groups = look_alikes.find_look_alikes(labels)
    if groups:
        # The escapes show the difference.
        texts = (f"{group[0]} ({', '.join(map(ascii, group))})" for group in groups)
        logging.warning(
            "Different labels look the same: %s. Rename the folders so that people can tell them "
            "apart.",
            name_some(texts, most=_MAX_GROUPS_NAMED, separator="; "),
        )


def _number_if_taken(label: str, taken: Collection[str]) -> str:
    result = label
    number = 1
    while result in taken:
        number += 1
        result = f"{label} ({number})"
    return result

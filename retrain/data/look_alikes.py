"""Finds texts that people cannot tell apart."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable

from retrain.system.text import JOINERS

# Letters without a shape: the fillers of Hangul (Unicode Standard, 18.6).
FILLERS = "\u115f\u1160\u3164\uffa0"

# Marks that never have a shape of their own: the combining grapheme joiner, inherent vowels of
# Khmer, and the variation selectors (Default_Ignorable_Code_Point in the Unicode Character
# Database).
_IGNORABLE_MARKS = (
    *(0x034F, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F),
    *range(0xFE00, 0xFE10),
    *range(0xE0100, 0xE01F0),
)
_INVISIBLE = "".join(map(chr, _IGNORABLE_MARKS)) + JOINERS + FILLERS + "\u2800"
# Format and control characters.
_CATEGORIES_WITHOUT_SHAPE = ("Cf", "Cc")
# The flags of England, Scotland and Wales are this character and invisible tags.
_BLACK_FLAG = "\U0001f3f4"

# Decompositions that do not change what a character looks like, apart from its width or font.
_SAME_SHAPE = (
    *("<wide>", "<narrow>", "<font>", "<noBreak>", "<compat>"),
    *("<initial>", "<medial>", "<final>", "<isolated>"),
)

# For each character, those that look the same in most fonts. A choice from the confusable
# characters of Unicode Technical Standard 39. ASCII characters are not confused with each other:
# "0" and "o", or "1" and "l", are usual names of classes.
_CONFUSABLE = {
    **{"a": "аɑα", "b": "Ь", "c": "сϲᴄ", "d": "ԁ", "e": "еҽ", "g": "ɡց", "h": "һհ", "i": "іιı"},
    **{"j": "јϳ", "l": "ӏ", "n": "ո", "o": "оοօᴏ", "p": "рρ", "q": "ԛզ", "r": "гᴦ", "s": "ѕꜱ"},
    **{"u": "υսᴜ", "v": "νѵᴠ", "w": "ԝѡᴡ", "x": "х", "y": "уγʏ", "z": "ᴢ", "ß": "β", "æ": "ӕ"},
    **{"A": "АΑ", "B": "ВΒ", "C": "СϹ", "E": "ЕΕ", "G": "Ԍ", "H": "НΗ", "I": "ІΙӀ", "J": "ЈͿ"},
    **{"K": "КΚ", "M": "МΜϺ", "N": "Ν", "O": "ОΟՕ", "P": "РΡ", "Q": "Ԛ", "S": "ЅՏ", "T": "ТΤ"},
    **{"U": "Ս", "V": "Ѵ", "W": "Ԝ", "X": "ХΧ", "Y": "ҮΥ", "Z": "Ζ", "ə": "ә", "3": "З", "6": "б"},
    **{"\u06cc": "\u064a\u0649", "\u06a9": "\u0643", "\u06c1": "\u0647\u06d5"},
    **{"٠": "۰", "١": "۱", "٢": "۲", "٣": "۳", "٧": "۷", "٨": "۸", "٩": "۹"},
    **{"一": "ー", "口": "ロ", "二": "ニ", "力": "カ", "夕": "タ", "卜": "ト", "八": "ハ"},
    **{"工": "エ", "へ": "ヘ", "べ": "ベ", "ぺ": "ペ", "-": "‐‒–−", "'": "’ʼ‘`´", '"': "“”„"},
}
_CONFUSABLE_WITH = str.maketrans(
    {other: base for base, others in _CONFUSABLE.items() for other in others}
)


def is_invisible(character: str) -> bool:
    """Returns whether a character has no shape: a space, joiner, variation selector or filler."""
    return (
        character in _INVISIBLE
        or character.isspace()
        or unicodedata.category(character) in _CATEGORIES_WITHOUT_SHAPE
    )


def has_base(text: str) -> bool:
    """Returns whether a mark at the end of `text` would have a character to stand on."""
    base = text.rstrip(_INVISIBLE)
    return bool(base) and not is_invisible(base[-1])


def find_look_alikes(texts: Iterable[str]) -> list[list[str]]:
    """Returns the groups of different texts that look the same, in the order of the texts."""
    groups: dict[str, list[str]] = defaultdict(list)
    for text in texts:
        groups[_shape(text)].append(text)
    return [group for group in groups.values() if len(group) > 1]


def _shape(text: str) -> str:
    """Returns the same text for all texts that look the same."""
    if _BLACK_FLAG in text:
        return text
    decomposed = "".join(map(_decompose, text))
    visible = "".join(c for c in decomposed if c.isspace() or not is_invisible(c))
    composed = unicodedata.normalize("NFC", visible).translate(_CONFUSABLE_WITH)
    return " ".join(composed.split())


def _decompose(character: str) -> str:
    if unicodedata.decomposition(character).startswith(_SAME_SHAPE):
        return unicodedata.normalize("NFKD", character)
    return character

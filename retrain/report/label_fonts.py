"""Chooses the fonts of a computer that have the letters of labels, for plots."""

import functools
import importlib.util
import logging
import re
import textwrap
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import ImageFont

from retrain.system.text import name_some, one_line

# All characters before this one are in DejaVu.
_FIRST_UNSURE = "\u0250"
# Characters of each script that a font must have some of, before all are looked for.
_SAMPLES_PER_SCRIPT = 3
_NOTDEF = "\U0010ffff"
_TEST_SIZE = 16
# Fonts whose glyphs only stand for letters.
_PLACEHOLDER_FONTS = re.compile(r"last.?resort|adobe.?blank|fallback|tofu", re.IGNORECASE)
_RARE_STYLES = re.compile(
    r"bold|black|heavy|light|thin|medium|italic|oblique|serif|mono|condensed|narrow", re.IGNORECASE
)
_BETWEEN_ENTRIES = "    "
_MAX_DESCRIPTION = 40
_MAX_LISTED = 10


class Run(NamedTuple):
    """A part of a text that one font can draw, and the path of the font."""

    text: str
    font: Path


class PlotLabels:
    """The labels of all classes, as plots can show them.

    A label whose letters are in no font of this computer is shown as the number of its class, from
    1, which is also its line in the labels file.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        """Looks for fonts if DejaVu does not have all letters, and warns if there are none.

        Args:
            labels: Labels of all classes, in their order.
        """
        texts = [one_line(label) for label in labels]
        self._fonts = [dejavu(), *_find_fonts(_missing_letters("".join(texts)))]
        self._numbers: dict[str, str] = {}
        for number, text in enumerate(texts, 1):
            if self._split(text) is None:
                self._numbers[text] = f"#{number}" if str(number) in texts else str(number)
        if self._numbers:
            listed = [f"{number}: {text}" for text, number in self._numbers.items()]
            logging.warning(
                "Plots show numbers instead of labels whose letters are in no font of this "
                "computer (%s); install a font that has them, such as Noto.",
                name_some(listed, most=_MAX_LISTED),
            )

    def shown(self, label: str) -> str:
        """Returns the text for a label: the label in one line, or its number."""
        text = one_line(label)
        return self._numbers.get(text, text)

    def runs(self, text: str) -> list[Run]:
        """Returns the parts of a text from `shown`, or of its beginning, with their fonts."""
        return self._split(text) or [Run(text, dejavu())]

    def legend(self, labels: Iterable[str], *, width: int) -> list[str]:
        """Returns lines that explain the numbers of some labels, in letters that DejaVu has.

        Args:
            labels: Labels that the plot shows.
            width: Length of the lines in characters.
        """
        texts = [text for text in dict.fromkeys(map(one_line, labels)) if text in self._numbers]
        lines: list[str] = []
        for text in texts:
            entry = f"{self._numbers[text]}: {_describe(text)}"
            if lines and len(lines[-1]) + len(_BETWEEN_ENTRIES) + len(entry) <= width:
                lines[-1] += _BETWEEN_ENTRIES + entry
            else:
                lines.append(entry)
        return lines

    def _split(self, text: str) -> list[Run] | None:
        """Returns the runs of a text, or None if a letter is in no font."""
        for font in self._fonts:
            if all(_has(font, letter) for letter in text):
                return [Run(_drawable(font, text), font)]
        runs: list[Run] = []
        for cluster in _clusters(text):
            usual = [run.font for run in runs[-1:]]
            fonts = (f for f in (*usual, *self._fonts) if all(_has(f, c) for c in cluster))
            cluster_font = next(fonts, None)
            if cluster_font is None:
                return None
            drawable = _drawable(cluster_font, cluster)
            if usual == [cluster_font]:
                runs[-1] = Run(runs[-1].text + drawable, cluster_font)
            else:
                runs.append(Run(drawable, cluster_font))
        return runs


@functools.lru_cache(maxsize=4)
def plot_labels(labels: tuple[str, ...]) -> PlotLabels:
    """Returns the labels of all classes for plots. Equal labels are looked for only once."""
    return PlotLabels(labels)


@functools.cache
def dejavu() -> Path:
    """Returns matplotlib's font, without importing matplotlib. Pillow's font is Latin only."""
    spec = importlib.util.find_spec("matplotlib")
    assert spec and spec.origin
    return Path(spec.origin).with_name("mpl-data") / "fonts" / "ttf" / "DejaVuSans.ttf"


def _missing_letters(text: str) -> set[str]:
    return {
        letter for letter in set(text) if letter >= _FIRST_UNSURE and not _has(dejavu(), letter)
    }


def _find_fonts(letters: set[str]) -> list[Path]:
    """Returns fonts of this computer that together have as many of the letters as possible."""
    if not letters:
        return []
    from matplotlib import font_manager

    samples = _samples(letters)
    ranked = []
    for name in font_manager.findSystemFonts():
        path = Path(name)
        if not _PLACEHOLDER_FONTS.search(path.stem) and (
            count := sum(_has(path, letter) for letter in samples)
        ):
            is_last = "unifont" in path.stem.lower()
            style = len(_RARE_STYLES.findall(path.stem))
            ranked.append(((is_last, -count, style, len(path.stem), name), path))
    fonts, missing = [], set(letters)
    for _, path in sorted(ranked):
        if new := {letter for letter in missing if _has(path, letter)}:
            fonts.append(path)
            missing -= new
    return fonts


def _samples(letters: Iterable[str]) -> list[str]:
    by_script: dict[str, list[str]] = {}
    for letter in sorted(letters):
        by_script.setdefault(unicodedata.name(letter, "").split(" ")[0], []).append(letter)
    # Emoji have no script in their names.
    symbols = [letter for letter in letters if unicodedata.category(letter).startswith("S")]
    samples = [letter for script in by_script.values() for letter in script[:_SAMPLES_PER_SCRIPT]]
    return sorted({*samples, *symbols[:_SAMPLES_PER_SCRIPT]})


def _is_ignorable(letter: str) -> bool:
    """Returns whether a character has no form of its own, such as a joiner or a variation."""
    is_variation = "\ufe00" <= letter <= "\ufe0f" or "\U000e0100" <= letter <= "\U000e01ef"
    return is_variation or unicodedata.category(letter) in ("Cf", "Zs")


def _clusters(text: str) -> Iterator[str]:
    """Yields letters together with the marks on them."""
    yield from re.findall(r".[\u0300-\u036f\u200d\ufe00-\ufe0f]*", text, re.DOTALL)


def _drawable(font: Path, text: str) -> str:
    """Returns a text without characters that have no form and that the font does not have."""
    return "".join(c for c in text if not _is_ignorable(c) or c == " " or _glyph(font, c))


@functools.lru_cache(maxsize=100_000)
def _has(font: Path, letter: str) -> bool:
    if _is_ignorable(letter):
        return True
    glyph = _glyph(font, letter)
    # The glyphs of some fonts with colours are empty.
    return glyph is not None and any(glyph[1])


def _glyph(path: Path, letter: str) -> tuple[tuple[int, int], bytes] | None:
    """Returns the size and the pixels of a glyph, or None if the font does not have it."""
    font = _load(path)
    if font is None:
        return None
    try:
        missing, glyph = (font.getmask(text, "L") for text in (_NOTDEF, letter))
    except OSError:
        return None
    found = (glyph.size, bytes(glyph))
    return None if found == (missing.size, bytes(missing)) else found


@functools.lru_cache(maxsize=16)
def _load(path: Path) -> ImageFont.FreeTypeFont | None:
    # Without shaping, which would put marks on circles. Fonts of bitmaps cannot be scaled.
    try:
        return ImageFont.truetype(path, _TEST_SIZE, layout_engine=ImageFont.Layout.BASIC)
    except OSError:
        return None


def _describe(text: str) -> str:
    """Returns a text with names of symbols, and with numbers of letters, that DejaVu lacks."""
    words = []
    for letter in text:
        name = unicodedata.name(letter, "").lower()
        if letter < _FIRST_UNSURE or _has(dejavu(), letter):
            words.append(letter if not _is_ignorable(letter) else " ")
        elif name and unicodedata.category(letter).startswith("S"):
            words.append(f" {name} ")
        else:
            words.append(f" U+{ord(letter):04X} ")
    description = " ".join("".join(words).split())
    return textwrap.shorten(description, _MAX_DESCRIPTION, placeholder=" …")

"""Formats names, error messages and durations for lines of text."""

import shlex
from collections.abc import Iterable

# The zero width non-joiner and joiner. Words of some scripts, such as Persian, and emoji need these
# characters, which are not printable.
JOINERS = "\u200c\u200d"


def one_line(text: object) -> str:
    """Returns `text` with all characters that are not printable escaped, except joiners.

    File names can contain line breaks and terminal control codes. Scripts that read the output
    rely on one line per message.
    """
    return "".join(
        c
        if c.isprintable() or c in JOINERS
        else c.encode("unicode_escape", "surrogatepass").decode()
        for c in str(text)
    )


def shell_word(text: object) -> str:
    """Quotes `text` for a command line, so that it is one line and a shell reads it as it is.

    Characters that `one_line` escapes become bytes in octal, which Bash and Zsh decode in $'...'.
    File names can contain any bytes.
    """
    word = str(text)
    if one_line(word) == word:
        return shlex.quote(word)
    return f"$'{''.join(map(_in_dollar_quotes, word))}'"


def _in_dollar_quotes(character: str) -> str:
    if character not in "'\\" and one_line(character) == character:
        return character
    return "".join(f"\\{byte:03o}" for byte in character.encode("utf-8", "surrogateescape"))


def first_line(error: BaseException) -> str:
    """Returns the first line of an exception's message, or the name of its type if it is empty."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip()


def name_some(
    names: Iterable[object], *, most: int = 5, count: int | None = None, separator: str = ", "
) -> str:
    """Lists the first few names and the number of others, as in "a, b, c, d, e and 4 more".

    Args:
        names: Names, or anything that `str` turns into one.
        most: Maximum number of names to list.
        count: Total number of names, if `names` has only the first ones.
        separator: Text between two names.
    """
    texts = [str(name) for name in names]
    listed = texts[:most]
    others = (len(texts) if count is None else count) - len(listed)
    return separator.join(listed) + (f" and {others:,} more" if others > 0 else "")


def format_duration(seconds: float) -> str:
    """Formats a number of seconds for people, such as "40 s", "3 min 20 s" or "2 h 1 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"

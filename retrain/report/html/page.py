"""Renders templates to HTML pages that contain all that they show."""

import re
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from retrain.errors import UserError
from retrain.system.text import one_line

_FLAG = re.compile(r"(?<!\S)--[a-z_]+(?:=[\w.]*\w)?")
_FOLDER = Path(__file__).parent / "files"
# In the head of every page that this or an earlier version wrote, and hardly of any other page.
_MARK = b"default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_HEAD_BYTES = 1000


def check_replaceable(path: Path, flag: str) -> None:
    """Checks that a page can be written to a path without the loss of another page.

    Args:
        path: Path of the page.
        flag: Name of the flag that `path` is from.

    Raises:
        UserError: If the file exists and is not empty, and `render` did not make it.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(
            f"--{flag}={path} cannot be read: {error.strerror}; choose another path"
        ) from error
    if head and _MARK not in head:
        raise UserError(
            f"--{flag}={path} is a file that retrain did not write, and is not replaced; choose "
            "another path, or delete the file"
        )


def render(template: str | Path, **values: object) -> str:
    """Returns a page without scripts, which loads nothing. All values are escaped.

    Args:
        template: Name of a template in this package, or the path of one elsewhere. It can extend
            `page.html`, and use the macros of `macros.html`.
        **values: Values that the template uses.
    """
    from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined

    path = Path(template)
    loaders = [FileSystemLoader(folder) for folder in dict.fromkeys((path.parent, _FOLDER))]
    environment = Environment(
        loader=ChoiceLoader(loaders[1:] if path == Path(path.name) else loaders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "text": show,
        "percent": percent,
        "number": "{:,}".format,
        "flags": mark_flags,
    }
    environment.globals["style"] = (_FOLDER / "page.css").read_text("utf-8")
    return environment.get_template(path.name).render(**values)


def show(name: object) -> str:
    """Returns a name in one line that can be encoded. File names can contain any bytes."""
    return one_line(name).encode("utf-8", "replace").decode()


def shorten(name: object, length: int, *, end: int = 0) -> str:
    """Returns at most `length` characters of a name, with an ellipsis if it is longer.

    Args:
        name: The name.
        length: Maximum number of characters.
        end: Number of characters to keep at the end.
    """
    text = show(name)
    if len(text) <= length:
        return text
    return f"{text[: length - 1 - end].rstrip()}…{text[len(text) - end :]}"


def percent(fraction: Any) -> str:
    """Returns a fraction as a percentage, such as 94.2%. Only the fraction 1 becomes 100%."""
    if fraction is None:
        return "–"
    if fraction in (0, 1):
        return f"{100 * fraction:.0f}%"
    return f"{min(max(100 * fraction, 0.1), 99.9):.1f}%"


def mark_flags(text: str) -> Markup:
    """Returns a text in which flags are marked as code, so that they are not divided."""
    return Markup(_FLAG.sub(r'<code class="flag">\g<0></code>', str(escape(text))))


def plural(count: int, noun: str, plural_noun: str = "") -> str:
    """Returns a count with its noun, such as "1 image" or "2 images"."""
    return f"{count:,} {noun if count == 1 else plural_noun or noun + 's'}"

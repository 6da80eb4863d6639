"""Reads files of labels: one label per line, in the order of a classifier's outputs."""

from pathlib import Path

from retrain.errors import UserError


def read(path: Path) -> tuple[str, ...]:
    """Returns the labels in the file that `--labels` names.

    Raises:
        UserError: If the file cannot be read or is empty.
    """
    try:
        # Some Windows editors put a byte order mark before the first label.
        labels = tuple(path.read_text(encoding="utf-8-sig").splitlines())
    except OSError as error:
        raise UserError(f"--labels={path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"--labels={path} is not a text file in UTF-8") from error
    if not labels:
        raise UserError(f"--labels={path} is empty; it needs one label per line")
    return labels

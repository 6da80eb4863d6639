"""Files of labels: one a line, in the order of a classifier's output."""

from pathlib import Path

from retrain.errors import UserError


def read(path: Path) -> tuple[str, ...]:
    """Returns the labels in the file that --labels names.

    Raises:
        UserError: it cannot be read, or there are none.
    """
    try:
        labels = tuple(path.read_text(encoding="utf-8").splitlines())
    except OSError as error:
        raise UserError(f"--labels={path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"--labels={path} is not a text file in UTF-8") from error
    if not labels:
        raise UserError(f"--labels={path} is empty; it needs one label a line")
    return labels

"""Reads the file of labels that the user names."""

from pathlib import Path

from retrain.errors import UserError
from retrain.runtimes import label_lines
from retrain.system.regular_files import read_regular_file


def read(path: Path) -> tuple[str, ...]:
    """Returns the labels in the file that `--labels` names, as `label_lines.parse` does.

    Raises:
        UserError: If the file cannot be read, has no labels, or has an empty one.
    """
    try:
        return label_lines.parse(read_regular_file(path))
    except OSError as error:
        raise UserError(f"--labels={path} cannot be read: {error.strerror}") from error
    except label_lines.LabelsError as error:
        raise UserError(f"--labels={path} {error}") from error

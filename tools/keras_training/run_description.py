"""Describes a run in `run.json`, so that only the same run is resumed."""

import json
from pathlib import Path
from typing import Any

from retrain.errors import UserError
from retrain.metadata import STRETCH
from retrain.system.outputs.atomic_files import write_file
from tools.keras_training import classifier_file
from tools.keras_training.image_folders import TRAIN_FLAG, VAL_FLAG, ImageFolders
from tools.keras_training.options import COSINE, Options
from tools.keras_training.run_folder import DESCRIPTION_FILE
from tools.keras_training.tasks import Task

Description = dict[str, Any]

# Keys of the image folders, of the hashes of the file names and the examples, and of the
# fingerprint of the pretrained network. All other keys are options.
_FOLDERS = (TRAIN_FLAG, VAL_FLAG)
_NAMES, _EXAMPLES = "names", "pictures"
_BACKBONE = "backbone"
_FIT = "fit"


def describe_inputs(options: Options, folders: ImageFolders | None) -> Description:
    """Describes what is known of a run before its images are decoded.

    Args:
        options: Options of the training.
        folders: The image folders; None for a file of arrays.
    """
    description = classifier_file.training_options(options)
    if options.schedule != COSINE:
        # A run can be resumed with more epochs, unless the schedule depends on their number.
        del description["epochs"]
    # The result does not depend on the engine or the patience. `describe_task` has the actual
    # batch size.
    for key in ("engine", "patience", "batch_size"):
        del description[key]
    description[_FIT] = options.fit
    description[TRAIN_FLAG] = str(options.train_dir)
    if folders and options.val_dir:
        description[VAL_FLAG] = str(options.val_dir)
        description[_NAMES] = folders.names_digest
    return description


def describe_task(task: Task) -> Description:
    """Describes what is known of a run after its images are decoded."""
    description: Description = {
        "batch_size": task.batch_size,
        _EXAMPLES: task.data.fingerprint(),
    }
    if task.backbone:
        description[_BACKBONE] = task.backbone.fingerprint
    return description


def write(folder: Path, description: Description) -> None:
    """Writes the description of a new run, or checks that of a run to resume.

    Args:
        folder: Output folder.
        description: Full description of the run.

    Raises:
        UserError: If the folder contains another run, or if the file cannot be written.
    """
    file = folder / DESCRIPTION_FILE
    if file.exists():
        check(folder, description)
    else:
        write_file(file, json.dumps(description, indent=2) + "\n")


def check(folder: Path, description: Description) -> None:
    """Raises UserError if the folder contains a run with a different description.

    Args:
        folder: Output folder, which does not need to exist.
        description: Full or partial description of the run.
    """
    file = folder / DESCRIPTION_FILE
    if not file.exists():
        return
    try:
        # Runs of earlier versions stretched images.
        saved = {_FIT: STRETCH, **json.loads(file.read_bytes())}
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise UserError(
            f"--resume: {file} is not the description of a run; choose another --output_dir"
        ) from error
    moved = any(saved.get(key, description.get(key)) != description.get(key) for key in _FOLDERS)
    # If the folders are the same, unreadable files in them can come and go: only the decoded
    # examples matter.
    ignored = _FOLDERS if moved and _NAMES in saved else (*_FOLDERS, _NAMES)
    current = json.loads(json.dumps(description))
    for key in current:
        if key not in ignored and saved.get(key) != current[key]:
            raise UserError(
                f"--resume: {folder} contains a run with "
                f"{_explain(key, saved, current, moved=moved)}, or choose a new --output_dir"
            )


def _explain(key: str, saved: Description, current: Description, *, moved: bool) -> str:
    """Returns what differs in the saved run, and what to do about it."""
    if key == _BACKBONE:
        return "another pretrained network; use the same --weights"
    if key not in (_NAMES, _EXAMPLES):
        return f"{key}={saved.get(key)!r}, not {current[key]!r}; use the same value"
    flags = " ".join(f"--{name}={saved[name]}" for name in _FOLDERS if name in saved)
    if not flags:
        return "other images; use the same images"
    if moved:
        return f"other images; use {flags}"
    return f"other images: those of {flags} have changed since then; restore them"

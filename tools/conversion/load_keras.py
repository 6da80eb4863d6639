"""Keras models, loaded from files of all versions as classifiers to convert."""

import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from retrain.errors import UserError
from retrain.metadata import METADATA_FILE, Metadata, MetadataError, from_json
from tools.conversion.source import Source, plain_pixels

_HELP = (
    "open it with the TensorFlow that it was made with, save it there with "
    "tf.saved_model.save(model, FOLDER), and convert that folder"
)


def load(path: Path, weights: Path | None) -> Source:
    """Returns the classifier in a `.keras`, `.h5` or `.json` file.

    Args:
        path: of the file.
        weights: of a `.json` file, which has none: as `save_weights` wrote them.

    Raises:
        UserError: today's Keras cannot read it, or it does not take images.
    """
    if path.suffix != ".json":
        if weights:
            raise UserError(f"--weights={weights} goes with a model.json only, not with {path}")
        model = _read(path, path)
    elif weights is None:
        raise UserError(
            f"--weights is needed: {path} has none; name the file that save_weights wrote"
        )
    else:
        model = _joined(path, weights)
    shape = model.input_shape
    if not isinstance(shape, tuple) or len(shape) != 4 or shape[3] not in (1, 3):
        raise UserError(
            f"--graph={path} takes {shape}, not images [N, height, width, 3], or 1 for grey"
        )
    if not shape[1] or not shape[2]:
        raise UserError(f"--graph={path} takes images of any size; save it with one size")
    metadata = _metadata(path)
    pixels = plain_pixels(shape[3]) if metadata else None
    _, height, width, channels = shape
    return Source(
        lambda images: model(images, training=False),
        *(height, width, channels, metadata, pixels, model),
    )


def _read(path: Path, named: Path) -> Any:
    from tensorflow import keras

    try:
        return keras.models.load_model(path, compile=False)
    # What is in old files and what is missing in new ones fails in every way there is.
    except Exception as error:
        if "Lambda" in str(error):
            raise UserError(
                f"--graph={named} has a Lambda layer, which is code of its own and is not run; "
                "put --image_scale, --red_bias or --is_bgr in its place, and save it without it"
            ) from error
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"--graph={named} cannot be read by Keras {keras.__version__}: {reason}; {_HELP}"
        ) from error


def _joined(path: Path, weights: Path) -> Any:
    """Returns the model of a file without weights and those of another file."""
    from tensorflow import keras

    try:
        config = json.loads(path.read_bytes())
        of_keras_2 = _with_todays_names(config)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise UserError(
            f"--graph={path} is not what model.to_json() writes; name a file that is"
        ) from error
    if not weights.is_file():
        raise UserError(f"--weights={weights} does not exist; name what save_weights wrote")
    if weights.name.endswith(".weights.h5"):
        try:
            model = keras.models.model_from_json(json.dumps(config))
            model.load_weights(weights)
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise UserError(f"--weights={weights} do not fit {path}: {reason}") from error
        return model
    return _of_keras_2(path, of_keras_2, weights)


def _of_keras_2(path: Path, config: dict[str, Any], weights: Path) -> Any:
    """Returns what Keras 2 wrote in two files: in one file, today's Keras still reads it."""
    import h5py

    with tempfile.TemporaryDirectory() as folder:
        both = Path(folder, "model.h5")
        try:
            with h5py.File(weights) as old, h5py.File(both, "w") as new:
                new.attrs["model_config"] = json.dumps(config)
                group = new.create_group("model_weights")
                for name, value in old.attrs.items():
                    group.attrs[name] = value
                for name in old:
                    old.copy(name, group)
        except OSError as error:
            raise UserError(
                f"--weights={weights} is not an HDF5 file; name what save_weights wrote"
            ) from error
        return _read(both, path)


def _with_todays_names(config: dict[str, Any]) -> dict[str, Any]:
    """Returns the description of a model of Keras 2 as the last of its versions wrote it."""
    if config["class_name"] == "Model":
        return {**config, "class_name": "Functional"}
    if config["class_name"] != "Sequential":
        return config
    inner = config["config"]
    if isinstance(inner, list):
        inner = {"name": "sequential", "layers": inner}
    first, *others = inner["layers"]
    shape = first["config"].get("batch_input_shape")
    if shape and first["class_name"] != "InputLayer":
        started = {k: v for k, v in first["config"].items() if k != "batch_input_shape"}
        start = {"batch_input_shape": shape, "name": "start"}
        others = [{**first, "config": started}, *others]
        first = {"class_name": "InputLayer", "config": start}
    return {**config, "config": {**inner, "layers": [first, *others]}}


def _metadata(path: Path) -> Metadata | None:
    if not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        if METADATA_FILE not in archive.namelist():
            return None
        try:
            return from_json(archive.read(METADATA_FILE))
        except MetadataError as error:
            raise UserError(f"--graph={path}: {error}") from error

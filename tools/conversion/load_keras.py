"""Loads Keras models of all versions as classifiers to convert."""

import json
import zipfile
from pathlib import Path
from typing import Any

from retrain.errors import UserError
from retrain.metadata import METADATA_FILE, Metadata, MetadataError, from_json
from retrain.model_limits import LIMITS
from retrain.runtimes.hdf5_check import check_hdf5, check_keras_archive
from retrain.runtimes.runtime import ModelError
from retrain.system.files import archives
from retrain.system.files.regular_files import open_regular_file, read_regular_file
from retrain.system.outputs.temporary_folders import temporary_folder
from retrain.system.text import first_line
from tools.conversion.preprocessing import InputFormat
from tools.conversion.source import FORMATS, SourceClassifier

_HELP = (
    "load it with the TensorFlow version that wrote it, save it there with "
    "tf.saved_model.save(model, FOLDER), and convert that folder"
)


def load(path: Path, weights: Path | None) -> SourceClassifier:
    """Returns the classifier in a `.keras`, `.h5` or `.json` file.

    Args:
        path: File with the model, which the message of an error names as `--graph`.
        weights: File that `save_weights` wrote, for a `.json` file, which has no weights.

    Raises:
        UserError: If the installed Keras cannot read the files, or if the model's input is not
            images.
    """
    if path.suffix != ".json":
        if weights:
            raise UserError(
                f"--weights={weights} needs a model.json as --graph, but got {path}; leave "
                "--weights out"
            )
        model = _read(path, path)
    elif weights is None:
        raise UserError(
            f"--weights is needed, because {path} has no weights; name the file that save_weights "
            "wrote"
        )
    else:
        model = _read_with_weights(path, weights)
    shape = model.input_shape
    if not isinstance(shape, tuple) or len(shape) != 4 or shape[3] not in (1, 3):
        raise UserError(
            f"the input of --graph={path} has the shape {shape}, but must be images, "
            "[N, height, width, 3], or [N, height, width, 1] for grey; save a model with such an "
            "input"
        )
    _, height, width, channels = shape
    if not height or not width:
        raise UserError(f"--graph={path} accepts images of any size; save it with one size")
    metadata = _read_metadata(path)
    return SourceClassifier(
        scores=lambda pixels: model(pixels, training=False),
        height=height,
        width=width,
        channels=channels,
        metadata=metadata,
        # Models of this program normalise images themselves.
        input_format=InputFormat.unnormalised(channels) if metadata else None,
        keras_model=model,
    )


def _read(path: Path, source: Path) -> Any:
    """Returns the model in a file.

    Args:
        path: The file.
        source: The user's file, for error messages.
    """
    from tensorflow import keras

    try:
        _check_file(path)
        return keras.models.load_model(path, compile=False)
    except ModelError as error:
        raise UserError(f"--graph={source} cannot be read: {error}; give {FORMATS}") from error
    # Keras raises exceptions of many types for old and damaged files.
    except Exception as error:
        if "Lambda" in str(error):
            raise UserError(
                f"--graph={source} has a Lambda layer, which contains code that is not run; save "
                "the model without the layer, and use --image_scale, --red_bias or --is_bgr instead"
            ) from error
        raise UserError(
            f"Keras {keras.__version__} cannot read --graph={source}: {first_line(error)}; {_HELP}"
        ) from error


def _check_file(path: Path) -> None:
    """Raises ModelError if a file states more data than it can hold, or refers to other files."""
    import h5py

    with open_regular_file(path) as file:
        if zipfile.is_zipfile(file):
            try:
                with archives.open_zip(file) as archive:
                    check_keras_archive(archive)
            except archives.ArchiveError as error:
                raise ModelError(str(error)) from error
        elif h5py.is_hdf5(path):
            check_hdf5(file)


def _read_with_weights(path: Path, weights: Path) -> Any:
    """Returns the model in a JSON file, with the weights in another file."""
    from tensorflow import keras

    try:
        config = json.loads(read_regular_file(path, LIMITS.metadata_bytes))
        keras_2_config = _update_keras_2_config(config)
    except OSError as error:
        raise UserError(
            f"--graph={path} cannot be read: {error.strerror}; give {FORMATS}"
        ) from error
    # A description that another program wrote can have any structure.
    except (LookupError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"--graph={path} is not a file that model.to_json() wrote; name such a file"
        ) from error
    if not weights.is_file():
        raise UserError(
            f"--weights={weights} does not exist; name the file that save_weights wrote"
        )
    if not weights.name.endswith(".weights.h5"):
        return _read_keras_2(path, keras_2_config, weights)
    try:
        _check_file(weights)
        model = keras.models.model_from_json(json.dumps(config))
        model.load_weights(weights)
    except Exception as error:
        raise UserError(
            f"--weights={weights} does not fit {path}: {first_line(error)}; name the file that "
            "save_weights wrote for this model"
        ) from error
    return model


def _read_keras_2(path: Path, config: dict[str, Any], weights: Path) -> Any:
    """Returns a model that Keras 2 wrote to two files.

    The current Keras can only read both in one file, so they are joined.
    """
    import h5py

    with temporary_folder() as folder:
        joined = folder / "model.h5"
        try:
            with open_regular_file(weights) as file:
                check_hdf5(file)
            with h5py.File(weights) as source, h5py.File(joined, "w") as target:
                target.attrs["model_config"] = json.dumps(config)
                group = target.create_group("model_weights")
                for name, value in source.attrs.items():
                    group.attrs[name] = value
                for name in source:
                    source.copy(name, group)
        except OSError as error:
            raise UserError(
                f"--weights={weights} is not an HDF5 file; name the file that save_weights wrote"
            ) from error
        # h5py raises exceptions of many types for damaged files.
        except Exception as error:
            raise UserError(
                f"--weights={weights} cannot be read: {first_line(error)}; name the file that "
                "save_weights wrote"
            ) from error
        return _read(joined, path)


def _update_keras_2_config(config: dict[str, Any]) -> dict[str, Any]:
    """Returns the description of a model as the last version of Keras 2 would write it."""
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
        without_shape = {k: v for k, v in first["config"].items() if k != "batch_input_shape"}
        others = [{**first, "config": without_shape}, *others]
        input_config = {"batch_input_shape": shape, "name": "start"}
        first = {"class_name": "InputLayer", "config": input_config}
    return {**config, "config": {**inner, "layers": [first, *others]}}


def _read_metadata(path: Path) -> Metadata | None:
    if not zipfile.is_zipfile(path):
        return None
    try:
        with open_regular_file(path) as file, archives.open_zip(file) as archive:
            if METADATA_FILE not in archive.namelist():
                return None
            content = archives.read_zip_entry(archive, METADATA_FILE, LIMITS.metadata_bytes)
        return from_json(content)
    except (archives.ArchiveError, MetadataError) as error:
        raise UserError(f"--graph={path} cannot be converted: {error}") from error

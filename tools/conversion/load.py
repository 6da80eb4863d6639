"""Loads the classifier to convert from a file of any format."""

from pathlib import Path

from retrain.errors import UserError
from retrain.export.coreml_options import ML_PROGRAM_SUFFIX, NEURAL_NETWORK_SUFFIX
from retrain.runtimes import tflite_file
from retrain.system.outputs.unfinished import settle
from tools.conversion.source import FORMATS, GraphOptions, SourceClassifier


def check_format(path: Path) -> None:
    """Raises UserError if a file does not exist, or has a format that cannot be converted.

    Args:
        path: File or folder, which the message of an error names as `--graph`.
    """
    settle(path)
    if not path.exists():
        raise UserError(f"--graph={path} does not exist; name the file or folder to convert")
    if path.suffix in (ML_PROGRAM_SUFFIX, NEURAL_NETWORK_SUFFIX):
        raise UserError(
            f"--graph={path} is a Core ML model, which cannot be converted; give the file that it "
            f"was made from: {FORMATS}"
        )
    if not path.is_file():
        return
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise UserError(
            f"--graph={path} cannot be read: {error.strerror}; give {FORMATS}"
        ) from error
    if tflite_file.is_tflite(start):
        raise UserError(
            f"--graph={path} is a TFLite file, which cannot be converted; give the file that it "
            f"was made from: {FORMATS}"
        )


def load(path: Path, weights: Path | None, options: GraphOptions) -> SourceClassifier:
    """Returns a classifier whose format `check_format` has accepted.

    Args:
        path: File or folder, which the message of an error names as `--graph`.
        weights: File with the weights of a `.json` file.
        options: User's description of a graph.

    Raises:
        UserError: If the classifier cannot be loaded, or there are weights for another format.
    """
    # These modules take seconds to load.
    from tools.conversion import load_frozen_graph, load_keras, load_saved_model

    if weights:
        settle(weights)
    if path.suffix in (".keras", ".h5", ".hdf5", ".json"):
        return load_keras.load(path, weights)
    if weights:
        raise UserError(
            f"--weights={weights} needs a model.json as --graph, but got {path}; leave "
            "--weights out"
        )
    if path.is_dir():
        return load_saved_model.load(path, options)
    return load_frozen_graph.load(path, options)

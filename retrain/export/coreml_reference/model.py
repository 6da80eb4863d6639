"""Runs Core ML files in a reference implementation of Core ML, to verify exported files.

Core ML itself runs only on Apple's systems. The reference reads a saved file and evaluates it as
the specification of the format says, in float32, with rounding to float16 if the file states it. So
it verifies the file, from the colours of the image to the order of the labels. It does not verify
how an Apple device executes the file, such as the rounding of its Neural Engine.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from retrain.export.coreml_reference.errors import UnsupportedOperationError
from retrain.export.coreml_reference.neural_network import NeuralNetwork
from retrain.export.coreml_reference.program import MLProgram
from retrain.system.program.console import quiet_native_libraries
from retrain.system.text import first_line

# The weights of ITU-R BT.601 in units of 1/65536, as in Pillow's conversion to grey.
_LUMA = np.array([19595, 38470, 7471])


class ReferenceModel:
    """A classifier from a Core ML file.

    Attributes:
        spec: `Model` message of the file, with its descriptions.
        labels: Class labels in the order of the probabilities.
    """

    def __init__(self, spec: Any, network: MLProgram | NeuralNetwork) -> None:
        """Traces the network.

        Raises:
            UnsupportedOperationError: If the input is not an image in RGB, BGR or grey, or the
                network is not supported.
        """
        import tensorflow as tf

        self.spec = spec
        self.labels = network.labels
        (image,) = (feature.type.imageType for feature in spec.description.input)
        colours = image.ColorSpace.Name(image.colorSpace)
        if colours not in _PLANES:
            raise UnsupportedOperationError(f"an image in the colour space {colours}")
        self._planes = _PLANES[colours]
        channels = 1 if colours == "GRAYSCALE" else 3
        shape = (1, channels, image.height, image.width)
        with quiet_native_libraries():
            self._run = tf.function(network, autograph=False).get_concrete_function(
                tf.TensorSpec(shape, tf.float32)
            )
            # TensorFlow initialises kernels in the first run.
            self._run(tf.zeros(shape))

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Returns probabilities, float32 [N, classes].

        Args:
            images: Images, uint8 [N, height, width, 3], RGB.
        """
        planes = self._planes(images).astype(np.float32)
        scores = [self._run(planes[i : i + 1]).numpy().reshape(1, -1) for i in range(len(planes))]
        return np.concatenate(scores) if scores else np.zeros((0, len(self.labels)), np.float32)


def load(path: Path) -> ReferenceModel:
    """Loads a `.mlpackage` folder or a `.mlmodel` file.

    Raises:
        UnsupportedOperationError: If the reference cannot evaluate the model.
    """
    try:
        return _load(path)
    except UnsupportedOperationError:
        raise
    # The reference covers what coremltools has been seen to write. It checks files, so a gap in it
    # must not stop a run.
    except Exception as error:
        raise UnsupportedOperationError(
            f"this model ({type(error).__name__}: {first_line(error)})"
        ) from error


def _load(path: Path) -> ReferenceModel:
    from coremltools.proto import Model_pb2

    is_package = path.is_dir()
    file = _root_file(path) if is_package else path
    spec = Model_pb2.Model.FromString(file.read_bytes())
    kind = spec.WhichOneof("Type")
    if kind == "mlProgram":
        return ReferenceModel(spec, MLProgram(spec, file.with_name("weights")))
    if kind == "neuralNetworkClassifier":
        return ReferenceModel(spec, NeuralNetwork(spec))
    raise UnsupportedOperationError(f"a model of type {kind}")


def _root_file(package: Path) -> Path:
    manifest = json.loads(Path(package, "Manifest.json").read_bytes())
    item = manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]
    return Path(package, "Data", item["path"])


def _grey(images: np.ndarray) -> np.ndarray:
    return (images.astype(np.int64) @ _LUMA + 32768 >> 16)[:, np.newaxis]


_PLANES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "RGB": lambda images: images.transpose(0, 3, 1, 2),
    "BGR": lambda images: images[..., ::-1].transpose(0, 3, 1, 2),
    "GRAYSCALE": _grey,
}

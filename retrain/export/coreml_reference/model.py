"""A reference of Core ML's arithmetic, to verify what was written.

Core ML itself runs on Apple's systems only. This reads a saved file and does what the description
of the format says, in float32, and rounds to 16 bits where the file says so. It proves that the
file holds the right numbers in the right places, from the colours of the image to the order of the
labels. It does not prove that an Apple device has no defect, nor what its Neural Engine rounds.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from retrain.export.coreml_reference.kernels import UnknownOperationError
from retrain.export.coreml_reference.neural_network import NeuralNetwork
from retrain.export.coreml_reference.program import Program
from retrain.system.console import quiet_native_libraries

# ITU-R BT.601, as most programs make grey of colours, in units of 1/65536 as Pillow has them.
_LUMA = np.array([19595, 38470, 7471])


class Model:
    """A classifier from a Core ML file.

    Attributes:
        spec: the `Model` message, with the descriptions that people read.
        labels: the classes, in the order of the probabilities.
    """

    def __init__(self, spec: Any, evaluated: Program | NeuralNetwork) -> None:
        """Prepares it to be run.

        Raises:
            UnknownOperationError: it does not take one image of a kind that is known.
        """
        import tensorflow as tf

        self.spec = spec
        self.labels = evaluated.labels
        (image,) = (feature.type.imageType for feature in spec.description.input)
        colours = image.ColorSpace.Name(image.colorSpace)
        if colours not in _PLANES:
            raise UnknownOperationError(f"an image input of colours {colours}")
        self._planes = _PLANES[colours]
        channels = 1 if colours == "GRAYSCALE" else 3
        shape = (1, channels, image.height, image.width)
        with quiet_native_libraries():
            self._run = tf.function(evaluated, autograph=False).get_concrete_function(
                tf.TensorSpec(shape, tf.float32)
            )
            # Some is built only now.
            self._run(tf.zeros(shape))

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Returns probabilities, float32 [N, classes].

        Args:
            images: uint8 [N, height, width, 3], RGB.
        """
        planes = self._planes(images).astype(np.float32)
        answers = [self._run(planes[i : i + 1]).numpy().reshape(1, -1) for i in range(len(planes))]
        return np.concatenate(answers) if answers else np.zeros((0, len(self.labels)), np.float32)


def load(path: Path) -> Model:
    """Returns the classifier in a `.mlpackage` folder or a `.mlmodel` file.

    Raises:
        UnknownOperationError: it is of another kind, or has operations that are not known here.
    """
    from coremltools.proto import Model_pb2

    program = path.is_dir()
    file = _root(path) if program else path
    spec = Model_pb2.Model.FromString(file.read_bytes())
    kind = spec.WhichOneof("Type")
    if kind == "mlProgram":
        return Model(spec, Program(spec, file.with_name("weights")))
    if kind == "neuralNetworkClassifier":
        return Model(spec, NeuralNetwork(spec))
    raise UnknownOperationError(f"a model of type {kind}")


def _root(package: Path) -> Path:
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

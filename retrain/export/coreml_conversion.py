"""Converts a TensorFlow classifier to a Core ML model with coremltools, on Linux and macOS."""

import dataclasses
import errno
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from retrain.errors import UserError
from retrain.export import coreml_freezing, coreml_rounding
from retrain.export.coreml_options import CLASS_LABEL
from retrain.export.coremltools_import import load_coremltools, quiet_coremltools
from retrain.system.text import first_line

RGB = "RGB"
BGR = "BGR"
GRAYSCALE = "GRAYSCALE"

# The name of the scores during the conversion. No network has a node of this name, so it can be
# replaced with the name that the user has chosen.
_SCORES = "scores_of_all_classes"
# Part of the message if the weights cannot be written to the folder for temporary files.
_FILE_WRITER = "FileWriter"
_UNSUPPORTED_OPERATION = re.compile(r"Conversion for TF op '([^']+)' not implemented")


@dataclasses.dataclass(frozen=True)
class TensorFlowClassifier:
    """An image classifier as a TensorFlow function.

    Attributes:
        scores: Function from normalised pixels, float32 [1, height, width, channels], to scores,
            float32 [1, classes], that TensorFlow can trace.
        labels: Class labels in the order of the scores.
        height: Height of the images in pixels.
        width: Width of the images in pixels.
        channel_order: Order of the channels, RGB or BGR, or GRAYSCALE for a single channel.
        mean: Mean to subtract from each channel, in units of 0 to 255.
        std: Standard deviation to divide each channel by after that, in units of 0 to 255.
    """

    scores: Callable[[Any], Any]
    labels: tuple[str, ...]
    height: int
    width: int
    channel_order: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def has_common_std(self) -> bool:
        """Returns whether all channels have the same std."""
        return len(set(self.std)) == 1


@dataclasses.dataclass(frozen=True)
class CoreMLModel:
    """A Core ML model that has not been saved.

    Attributes:
        spec: The `Model` message of
            https://apple.github.io/coremltools/mlmodel/Format/Model.html
        weights_dir: Folder with the weights of an ML Program; None for a neural network.
    """

    spec: Any
    weights_dir: str | None

    def save(self, path: Path) -> None:
        """Writes an ML Program to an existing folder, or a neural network to a file."""
        if self.weights_dir is None:
            path.write_bytes(self.spec.SerializeToString())
            return
        ct = load_coremltools()
        model = ct.models.MLModel(self.spec, weights_dir=self.weights_dir, skip_model_load=True)
        # coremltools requires this suffix, and deletes the folder if it exists.
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            package = Path(folder, "model.mlpackage")
            model.save(str(package))
            shutil.copytree(package, path, dirs_exist_ok=True)


def convert(
    classifier: TensorFlowClassifier,
    *,
    ml_program: bool,
    float16: bool,
    input_name: str,
    probabilities_name: str,
) -> CoreMLModel:
    """Converts a classifier to a Core ML model that takes an image.

    The outputs are `classLabel` and a dictionary from labels to scores.

    Args:
        classifier: Classifier to convert.
        ml_program: Whether to make an ML Program (iOS 15, macOS 12 and later) instead of a neural
            network (iOS 13, macOS 10.15 and later).
        float16: Whether to store the weights in float16. An ML Program also computes in float16.
        input_name: Name of the image input.
        probabilities_name: Name of the dictionary.

    Raises:
        UserError: If the classifier cannot be converted, or coremltools is not installed.
    """
    _check_labels(classifier.labels)
    ct = load_coremltools()
    with quiet_coremltools():
        frozen = _freeze(classifier, input_name)
        _check_output(frozen.outputs[0].shape, classifier.labels)
        model = _convert_frozen(ct, frozen, classifier, ml_program=ml_program, float16=float16)
        if float16 and not ml_program:
            quantization = ct.models.neural_network.quantization_utils
            model = quantization.quantize_weights(model, nbits=16, selector=_WeightSelector())
        spec = model.get_spec()
        for name in (_SCORES, f"{CLASS_LABEL}_probs"):
            ct.utils.rename_feature(spec, name, probabilities_name, rename_inputs=not ml_program)
        return CoreMLModel(spec, model.weights_dir if ml_program else None)


class _WeightSelector:
    """Excludes biases from float16, which are few and affect the scores most."""

    def do_quantize(self, layer: Any, weight_param: str | None = None) -> bool:
        return layer.WhichOneof("layer") in ("convolution", "innerProduct") and not weight_param


def _check_labels(labels: tuple[str, ...]) -> None:
    repeated = [label for label, count in Counter(labels).items() if count > 1]
    if repeated:
        raise UserError(
            f"the label {repeated[0]!r} occurs more than once, but Core ML identifies classes by "
            "their labels; give each class a label of its own"
        )


def _check_output(shape: Any, labels: tuple[str, ...]) -> None:
    if shape.rank is None:
        return  # TensorFlow does not know the shape before it runs the network.
    if shape.rank != 2:
        raise UserError(
            f"the network is not a classifier: the shape of its output is {shape} instead of "
            f"(1, {len(labels)}); use a network that computes one score for each label"
        )
    if shape[-1] not in (None, len(labels)):
        raise UserError(
            f"the network has {shape[-1]} outputs, but there are {len(labels)} labels; "
            "give one label for each output, in their order"
        )


def _freeze(classifier: TensorFlowClassifier, input_name: str) -> Any:
    import tensorflow as tf

    # Core ML multiplies all channels by one number. If they differ, the network multiplies.
    scales = None if classifier.has_common_std() else 1 / np.array(classifier.std, np.float32)

    def scores(image: Any) -> Any:
        with tf.name_scope("network"):
            return classifier.scores(image if scales is None else image * scales)

    shape = (1, classifier.height, classifier.width, len(classifier.mean))
    return coreml_freezing.freeze(scores, shape, input_name=input_name, output_name=_SCORES)


def _convert_frozen(
    ct: Any, frozen: Any, classifier: TensorFlowClassifier, *, ml_program: bool, float16: bool
) -> Any:
    scale = 1 / classifier.std[0] if classifier.has_common_std() else 1.0
    bias = [-mean * scale for mean in classifier.mean]
    image = ct.ImageType(
        name=frozen.inputs[0].op.name,
        shape=tuple(frozen.inputs[0].shape),
        scale=scale,
        bias=bias[0] if classifier.channel_order == GRAYSCALE else bias,
        color_layout=getattr(ct.colorlayout, classifier.channel_order),
    )
    precision = ct.precision.FLOAT16 if float16 else ct.precision.FLOAT32
    try:
        return ct.convert(
            [frozen],
            source="tensorflow",
            inputs=[image],
            outputs=[ct.TensorType(name=_SCORES)],
            classifier_config=ct.ClassifierConfig(
                list(classifier.labels), predicted_feature_name=CLASS_LABEL
            ),
            convert_to="mlprogram" if ml_program else "neuralnetwork",
            compute_precision=precision if ml_program else None,
            pass_pipeline=(
                coreml_rounding.pass_pipeline(ct) if float16 else ct.PassPipeline.DEFAULT
            ),
            skip_model_load=True,
        )
    # For networks that it does not support, coremltools raises exceptions of many types.
    except Exception as error:
        if _FILE_WRITER in str(error):
            folder = tempfile.gettempdir()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), folder) from error
        operation = _UNSUPPORTED_OPERATION.search(str(error))
        reason = f"it has none for TensorFlow's {operation[1]}" if operation else first_line(error)
        raise UserError(
            f"the network cannot be expressed in Core ML's operations: {reason}; "
            "leave --coreml_file out, or use another network"
        ) from error

"""Completes a loaded classifier with its labels and preprocessing, and checks that it works."""

import dataclasses
import logging
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from label_image import labels_file
from retrain.data import pixels
from retrain.errors import UserError
from retrain.export.assemble import current_versions
from retrain.export.coreml_conversion import BGR, GRAYSCALE
from retrain.metadata import STRETCH, Metadata
from retrain.runtimes.graph_session import error_reason
from tools.conversion import output_layer
from tools.conversion.preprocessing import InputFormat
from tools.conversion.source import SourceClassifier

_TEST_IMAGES = 8
# Largest difference between a sum of probabilities and 1.
_SUM_TOLERANCE = 1e-2


@dataclasses.dataclass(frozen=True)
class ConvertedClassifier:
    """A classifier that can be written in all formats.

    If the network has a single output and there are two labels, the output is the score of the
    second label, as Keras trains binary classifiers, and the first label gets the rest.

    Attributes:
        source: Classifier that was loaded.
        labels: Class labels in the order of the scores.
        input_format: Channels and normalisation of the network's input images.
        add_softmax: Whether to apply a softmax to the scores of the network.
        fit: How images of another aspect ratio are resized, one of `retrain.metadata.FITS`.
    """

    source: SourceClassifier
    labels: tuple[str, ...]
    input_format: InputFormat
    add_softmax: bool
    fit: str = STRETCH

    def scores(self, pixels: Any) -> Any:
        """Returns scores, float32 [N, classes], of normalised pixels. TensorFlow can trace it."""
        return self._complete_scores(self.source.scores(pixels))

    def _complete_scores(self, outputs: Any) -> Any:
        """Returns the scores, float32 [N, classes], for outputs of the network."""
        import tensorflow as tf

        if self._is_binary:
            first = tf.zeros_like(outputs) if self.add_softmax else 1 - outputs
            outputs = tf.concat([first, outputs], axis=1)
        return tf.nn.softmax(outputs) if self.add_softmax else outputs

    @property
    def _is_binary(self) -> bool:
        return self._outputs.shape[1:] == (1,) and len(self.labels) == 2

    def scores_of_images(self, images: Any) -> Any:
        """Returns scores, float32 [N, classes], of images. TensorFlow can trace it.

        Args:
            images: Tensor [N, height, width, 3], RGB, or [N, height, width, 1], grey, 0 to 255.
        """
        return self.scores(self._normalised(images))

    def _normalised(self, images: Any) -> Any:
        import tensorflow as tf

        ordered = images[..., ::-1] if self.input_format.channel_order == BGR else images
        mean = np.array(self.input_format.mean, np.float32)
        std = np.array(self.input_format.std, np.float32)
        return (tf.cast(ordered, tf.float32) - mean) / std

    def as_input(self, images: np.ndarray) -> np.ndarray:
        """Returns RGB images, uint8 [N, height, width, 3], with the network's number of channels.

        The result is uint8 [N, height, width, 3 or 1].
        """
        if self.input_format.channel_order != GRAYSCALE:
            return images
        grey = [np.asarray(Image.fromarray(image).convert("L")) for image in images]
        return np.stack(grey)[..., np.newaxis]

    @cached_property
    def test_images(self) -> np.ndarray:
        """Generated images to compare files with, uint8 [N, height, width, 3], RGB."""
        rng = np.random.default_rng(0)
        patches = rng.integers(0, 256, (_TEST_IMAGES, 6, 6, 3), np.uint8)
        size = (self.source.width, self.source.height)
        images = [Image.fromarray(p).resize(size, Image.Resampling.BILINEAR) for p in patches]
        return np.stack([np.asarray(image) for image in images])

    @cached_property
    def _outputs(self) -> np.ndarray:
        """Outputs of the network for the test images, float32 [N, outputs]."""
        import tensorflow as tf

        # TensorFlow might be tracing a function, which does not compute anything.
        with tf.init_scope():
            # Some networks accept only one image at a time.
            return np.concatenate(
                [
                    np.atleast_1d(self.source.scores(self._normalised(image[np.newaxis])))
                    for image in self.as_input(self.test_images)
                ]
            )

    @cached_property
    def expected_scores(self) -> np.ndarray:
        """Scores of the test images, float32 [N, classes]."""
        return np.asarray(self._complete_scores(self._outputs))

    def check(self) -> None:
        """Runs the classifier, and warns if its scores are not probabilities.

        Raises:
            UserError: If the network is not a classifier, if it cannot take images of this size, or
                if the number of labels is wrong.
        """
        import tensorflow as tf

        try:
            shape = self._outputs.shape
        except tf.errors.OpError as error:
            raise UserError(
                f"the network cannot run on images of {self.source.height} x {self.source.width} "
                f"pixels ({error_reason(error)}); set --input_height and --input_width, or another "
                "--input_layer"
            ) from error
        if len(shape) != 2:
            raise UserError(
                "the network is not a classifier: the shape of its output for an image is "
                f"{[1, *shape[1:]]} instead of [1, {len(self.labels)}]; use a network that "
                "computes one score for each label"
            )
        if shape[1] == 1:
            self._check_binary()
        elif shape[1] != len(self.labels):
            raise UserError(
                f"the network has {shape[1]} outputs, but there are {len(self.labels)} labels; "
                "give one label for each output, in their order"
            )
        sums = self.expected_scores.sum(1)
        if self.expected_scores.min() < 0 or np.abs(sums - 1).max() > _SUM_TOLERANCE:
            logging.warning(
                "The outputs are not probabilities: those of an image add up to %.3g. "
                "--add_softmax turns them into probabilities.",
                sums[0],
            )

    def _check_binary(self) -> None:
        if len(self.labels) != 2:
            raise UserError(
                "the network has one output, the probability of the second of two labels, but the "
                f"number of labels is {len(self.labels)}; give two labels, in the order of Keras"
            )
        low, high = float(self._outputs.min()), float(self._outputs.max())
        is_probability = low >= 0 and high <= 1 and not output_layer.is_linear(self.source)
        if not self.add_softmax and not is_probability:
            raise UserError(
                "the only output of the network is not a probability, because it has no sigmoid "
                f"(it ranges from {low:.3g} to {high:.3g} for generated images); --add_softmax "
                "turns it into the probabilities of two labels"
            )
        logging.info(
            "The only output of the network is the probability of the second label, %s, as in "
            "Keras; the first label, %s, gets the rest.",
            *(self.labels[1], self.labels[0]),
        )

    def metadata(self) -> Metadata | None:
        """Returns metadata for the exported files, or None for grey images.

        Programs that read the metadata do not support grey images.
        """
        if self.input_format.channel_order == GRAYSCALE:
            return None
        (mean_1, mean_2, mean_3), (std_1, std_2, std_3) = (
            self.input_format.mean,
            self.input_format.std,
        )
        return dataclasses.replace(
            self.source.metadata or _unknown_metadata(self.labels),
            labels=self.labels,
            height=self.source.height,
            width=self.source.width,
            mean=(mean_1, mean_2, mean_3),
            std=(std_1, std_2, std_3),
            channel_order=self.input_format.channel_order,
            fit=self.fit,
        )


def resolve_labels(
    graph: Path, metadata: Metadata | None, file: Path | None, listed: tuple[str, ...]
) -> tuple[str, ...]:
    """Returns the labels that the user gives or, by default, those in the metadata.

    Args:
        graph: Path of the classifier.
        metadata: Metadata of the classifier, if there is any.
        file: File with one label per line.
        listed: Labels in a flag.

    Raises:
        UserError: If there are no labels, or two lists of them, if the file cannot be read, or if
            the labels belong to another classifier.
    """
    if file and listed:
        raise UserError(
            "--labels and --class_labels both name the labels; use only one of the two flags"
        )
    if listed:
        if metadata:
            flag = f"--class_labels={','.join(listed)}"
            labels_file.check(flag, listed, graph, metadata.labels)
        return listed
    if metadata is None and file is None:
        raise UserError(
            "--labels is needed, because the file does not contain the labels; name a file with "
            "one label per line, or use --class_labels=first,second,..."
        )
    return labels_file.resolve(graph, file, metadata.labels if metadata else None)


def _unknown_metadata(labels: tuple[str, ...]) -> Metadata:
    """Returns metadata of a network that another program trained."""
    zeros = (0.0, 0.0, 0.0)
    return Metadata(
        labels=labels,
        folders=labels,
        height=0,
        width=0,
        mean=zeros,
        std=zeros,
        channel_order="RGB",
        resize_method=pixels.RESIZE_METHOD,
        output="probabilities",
        backbone="a network of another program",
        fingerprint="",
        split={},
        test_accuracy=None,
        training={},
        versions=current_versions(),
    )

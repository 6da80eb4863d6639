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
from retrain.metadata import Metadata
from retrain.runtimes.graph_session import error_reason
from tools.conversion.preprocessing import InputFormat
from tools.conversion.source import SourceClassifier

_TEST_IMAGES = 8
# Largest difference between a sum of probabilities and 1.
_SUM_TOLERANCE = 1e-2


@dataclasses.dataclass(frozen=True)
class ConvertedClassifier:
    """A classifier that can be written in all formats.

    Attributes:
        source: Classifier that was loaded.
        labels: Class labels in the order of the scores.
        input_format: Channels and normalisation of the network's input images.
        add_softmax: Whether to apply a softmax to the scores of the network.
    """

    source: SourceClassifier
    labels: tuple[str, ...]
    input_format: InputFormat
    add_softmax: bool

    def scores(self, pixels: Any) -> Any:
        """Returns scores, float32 [N, classes], of normalised pixels. TensorFlow can trace it."""
        import tensorflow as tf

        result = self.source.scores(pixels)
        return tf.nn.softmax(result) if self.add_softmax else result

    def scores_of_images(self, images: Any) -> Any:
        """Returns scores, float32 [N, classes], of images. TensorFlow can trace it.

        Args:
            images: Tensor [N, height, width, 3], RGB, or [N, height, width, 1], grey, 0 to 255.
        """
        import tensorflow as tf

        ordered = images[..., ::-1] if self.input_format.channel_order == BGR else images
        mean = np.array(self.input_format.mean, np.float32)
        std = np.array(self.input_format.std, np.float32)
        return self.scores((tf.cast(ordered, tf.float32) - mean) / std)

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
    def expected_scores(self) -> np.ndarray:
        """Scores of the test images, float32 [N, classes]."""
        # Some networks accept only one image at a time.
        return np.concatenate(
            [
                np.atleast_1d(self.scores_of_images(image[np.newaxis]))
                for image in self.as_input(self.test_images)
            ]
        )

    def check(self) -> None:
        """Runs the classifier, and warns if its scores are not probabilities.

        Raises:
            UserError: If the network is not a classifier, if it cannot take images of this size, or
                if the number of labels is wrong.
        """
        import tensorflow as tf

        try:
            shape = self.expected_scores.shape
        except tf.errors.OpError as error:
            raise UserError(
                f"the network cannot run on images of {self.source.height} x {self.source.width} "
                f"pixels ({error_reason(error)}); set --input_height and --input_width, or another "
                "--input_layer"
            ) from error
        if len(shape) != 2:
            raise UserError(
                "the network is not a classifier: the shape of its output for an image is "
                f"{[1, *shape[1:]]} instead of [1, {len(self.labels)}], one score for each label"
            )
        if shape[1] != len(self.labels):
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
        )


def resolve_labels(
    metadata: Metadata | None, file: Path | None, listed: tuple[str, ...]
) -> tuple[str, ...]:
    """Returns the labels that the user gives or, by default, those in the metadata.

    Args:
        metadata: Metadata of the classifier, if there is any.
        file: File with one label per line.
        listed: Labels in a flag.

    Raises:
        UserError: If there are no labels, or two lists of them, or if the file cannot be read.
    """
    if file and listed:
        raise UserError(
            "--labels and --class_labels both name the labels; use only one of the two flags"
        )
    if listed:
        return listed
    if file:
        return labels_file.read(file)
    if metadata is None:
        raise UserError(
            "--labels is needed, because the file does not contain the labels; name a file with "
            "one label per line, or use --class_labels=first,second,..."
        )
    return metadata.labels


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

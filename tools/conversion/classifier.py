"""A loaded classifier with all that was missing: its labels, and what pixels mean to it."""

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
from tools.conversion.source import Pixels, Source

_TRIED = 8
# Of a sum of probabilities from 1.
_TOLERANCE = 1e-2


@dataclasses.dataclass(frozen=True)
class Complete:
    """A classifier that can be written in any format.

    Attributes:
        source: that was loaded.
        labels: in the order of its scores.
        pixels: what it takes.
        softmax: whether its scores are not probabilities yet.
    """

    source: Source
    labels: tuple[str, ...]
    pixels: Pixels
    softmax: bool

    def scores(self, image: Any) -> Any:
        """Returns float32 [N, classes] of normalised images, for TensorFlow to trace."""
        import tensorflow as tf

        result = self.source.scores(image)
        return tf.nn.softmax(result) if self.softmax else result

    def from_image(self, image: Any) -> Any:
        """Returns the same of images as they are, [N, height, width, 3 or 1], RGB or grey."""
        import tensorflow as tf

        channels = image[..., ::-1] if self.pixels.colours == BGR else image
        mean, std = (np.array(n, np.float32) for n in (self.pixels.mean, self.pixels.std))
        return self.scores((tf.cast(channels, tf.float32) - mean) / std)

    @cached_property
    def images(self) -> np.ndarray:
        """A few images to try it with, uint8 [N, height, width, 3], RGB."""
        rng = np.random.default_rng(0)
        coarse = rng.integers(0, 256, (_TRIED, 6, 6, 3), np.uint8)
        size = (self.source.width, self.source.height)
        drawn = [Image.fromarray(p).resize(size, Image.Resampling.BILINEAR) for p in coarse]
        return np.stack([np.asarray(image) for image in drawn])

    @cached_property
    def expected(self) -> np.ndarray:
        """Its answers for them, float32 [N, classes]."""
        answers = [np.asarray(self.from_image(p)) for p in self.shown(self.images)]
        return np.concatenate(answers)

    def shown(self, images: np.ndarray) -> list[np.ndarray]:
        """Returns RGB images one by one, as [1, height, width, 3], or [..., 1] in grey."""
        if self.pixels.colours != GRAYSCALE:
            return [image[np.newaxis] for image in images]
        grey = [np.asarray(Image.fromarray(image).convert("L")) for image in images]
        return [image[np.newaxis, ..., np.newaxis] for image in grey]

    def check(self) -> None:
        """Tries it.

        Raises:
            UserError: it is no classifier, or there is another number of labels.
        """
        shape = self.expected.shape
        if len(shape) != 2:
            raise UserError(
                f"the network is not a classifier: for an image it has an output of shape "
                f"{[1, *shape[1:]]}, not one score for each label"
            )
        if shape[1] != len(self.labels):
            raise UserError(
                f"the network has {shape[1]} outputs, but there are {len(self.labels)} labels; "
                "give one label for each output, in their order"
            )
        sums = self.expected.sum(1)
        if self.expected.min() < 0 or np.abs(sums - 1).max() > _TOLERANCE:
            logging.warning(
                "The outputs are not probabilities: for an image they add up to %.3g; "
                "--add_softmax makes some of them.",
                sums[0],
            )

    def metadata(self) -> Metadata | None:
        """Returns what other programs can read of it; there are no such for grey images."""
        if self.pixels.colours == GRAYSCALE:
            return None
        mean, std = self.pixels.mean, self.pixels.std
        return dataclasses.replace(
            self.source.metadata or _unknown(self.labels),
            labels=self.labels,
            height=self.source.height,
            width=self.source.width,
            mean=(mean[0], mean[1], mean[2]),
            std=(std[0], std[1], std[2]),
            channel_order=self.pixels.colours,
        )


def labels(source: Source, file: Path | None, listed: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the labels that the user gives, or else those that came with the classifier.

    Args:
        source: of the classifier.
        file: one label a line.
        listed: in a flag.

    Raises:
        UserError: there are none, or the file cannot be read.
    """
    if file and listed:
        raise UserError("--labels and --class_labels say the same; give the one or the other")
    if listed:
        return listed
    if file is None:
        if source.metadata is None:
            raise UserError(
                "--labels is needed: the file does not say what its outputs mean; give a file with "
                "one label a line, or --class_labels=first,second,..."
            )
        return source.metadata.labels
    return labels_file.read(file)


def _unknown(names: tuple[str, ...]) -> Metadata:
    nothing = (0.0, 0.0, 0.0)
    return Metadata(
        labels=names,
        folders=names,
        height=0,
        width=0,
        mean=nothing,
        std=nothing,
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

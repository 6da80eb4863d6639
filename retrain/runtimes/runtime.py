"""The interface of a loaded network: images in, values out."""

import abc
import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from retrain.metadata import Metadata
from retrain.model_limits import LIMITS
from retrain.runtimes import familiarity_packing
from retrain.runtimes.familiarity import Familiarity
from retrain.system.processors import processor_count


class ModelError(Exception):
    """A network cannot be loaded or run. The message is one line that says why."""


def check_image_size(height: int, width: int) -> None:
    """Raises ModelError if a network takes images so large that they would fill the memory."""
    if max(height, width) > LIMITS.image_side:
        raise ModelError(
            f"it takes images of {height:,} x {width:,} pixels, more than the limit of "
            f"{LIMITS.image_side:,} per side"
        )


@dataclasses.dataclass(frozen=True)
class Description:
    """The properties of a classifier that its file states.

    Attributes:
        labels: Labels in the order of the output values; None if the file does not state them.
        height: Height of the input images in pixels; None if the file does not state it.
        width: Width of the input images in pixels; None if the file does not state it.
        preprocessing_version: Version of the preprocessing that the classifier was trained with;
            None if the file does not state it.
        assumption: What is assumed because the file does not state it, for a message; None if
            nothing is assumed.
        familiarity: How familiar images are compared with the training images; None if the file
            does not state it.
        fit: How images of another aspect ratio are resized, one of `retrain.metadata.FITS`; None if
            the file does not state it.
        split: How the images of the training were split; see `Metadata.split`.
    """

    labels: tuple[str, ...] | None = None
    height: int | None = None
    width: int | None = None
    preprocessing_version: int | None = None
    assumption: str | None = None
    familiarity: Familiarity | None = None
    fit: str | None = None
    split: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises ModelError if the images are too large."""
        check_image_size(self.height or 1, self.width or 1)


NO_DESCRIPTION = Description()


def describe(metadata: Metadata) -> Description:
    """Returns the description of a classifier with this metadata.

    Raises:
        MetadataError: If the packed familiarity is damaged.
    """
    version = metadata.versions.get("preprocessing")
    return Description(
        metadata.labels,
        metadata.height,
        metadata.width,
        preprocessing_version=version if isinstance(version, int) else None,
        familiarity=familiarity_packing.unpack(metadata.familiarity, classes=len(metadata.labels)),
        fit=metadata.fit,
        split=metadata.split,
    )


@dataclasses.dataclass(frozen=True)
class NetworkOverrides:
    """The user's settings for a network. Each one that is not None overrides the file's.

    Attributes:
        input_layer: Name of the graph's tensor to feed, with or without `:0`.
        output_layer: Name of the graph's tensor of scores, with or without `:0`.
        mean: Number to subtract from all channels, in units of 0 to 255.
        std: Number to divide all channels by after that, in units of 0 to 255.
        trust_model: Whether to run a network that does more than compute, such as write files.
    """

    input_layer: str | None = None
    output_layer: str | None = None
    mean: float | None = None
    std: float | None = None
    trust_model: bool = False


NO_OVERRIDES = NetworkOverrides()


class Outputs(NamedTuple):
    """What one run of a network computes.

    Attributes:
        values: float32 [N, values], or [values] for a single file.
        familiarity: Familiarity of each image, 0 to 1, float32 [N], or a scalar for a single file;
            None if the file does not state how to compute it. See `Familiarity.scores`.
    """

    values: np.ndarray
    familiarity: np.ndarray | None = None


class Runtime(abc.ABC):
    """A loaded network, ready to run in any number of threads.

    Attributes:
        description: Properties of the classifier that the file states.
        takes_pixels: Whether `predict` and `run` can be called.
        takes_files: Whether `predict_file` and `run_file` can be called: it decodes images itself.
        batch_size: Best number of images for one call of `predict`.
    """

    description: Description = NO_DESCRIPTION
    takes_pixels: bool = True
    takes_files: bool = False
    batch_size: int = 1

    @property
    def workers(self) -> int:
        """Number of threads that keep the network busy, decoding included."""
        return processor_count()

    @abc.abstractmethod
    def predict(self, pixels: np.ndarray) -> Outputs:
        """Returns the values and the familiarity of decoded images.

        Args:
            pixels: uint8 [N, height, width, 3], RGB, 0 to 255.

        Raises:
            ModelError: If the network does not take images of this size.
        """

    def predict_file(self, data: bytes) -> Outputs:
        """Returns the values and the familiarity of one encoded image.

        Args:
            data: Content of an image file.

        Raises:
            ModelError: If the decoder in the network cannot read the file.
        """
        raise ModelError("it takes pixels, not files")

    def run(self, pixels: np.ndarray) -> np.ndarray:
        """Returns only the values of `predict`, float32 [N, values]."""
        return self.predict(pixels).values

    def run_file(self, data: bytes) -> np.ndarray:
        """Returns only the values of `predict_file`, float32 [values]."""
        return self.predict_file(data).values

    @abc.abstractmethod
    def close(self) -> None:
        """Frees the network's memory. It cannot run afterwards."""

"""What every kind of classifier file becomes: pixels go in and scores come out."""

import dataclasses
from typing import Protocol

import numpy as np

from retrain.metadata import Metadata

Channels = tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class Description:
    """What a file says of its classifier; None stands for what it does not say.

    Attributes:
        labels: in the order of the scores.
        height: of the images that the network takes, in pixels.
        width: of the images that the network takes, in pixels.
        mean: of each channel, in units of 0 to 255; subtracted first.
        std: of each channel; what is divided by then.
        channel_order: "RGB" or "BGR".
    """

    labels: tuple[str, ...] | None = None
    height: int | None = None
    width: int | None = None
    mean: Channels | None = None
    std: Channels | None = None
    channel_order: str = "RGB"

    @classmethod
    def of(cls, metadata: Metadata) -> "Description":
        """Returns the part of the metadata that is needed to use the classifier."""
        return cls(
            labels=metadata.labels,
            height=metadata.height,
            width=metadata.width,
            mean=metadata.mean,
            std=metadata.std,
            channel_order=metadata.channel_order,
        )


class Runtime(Protocol):
    """A loaded classifier, which any number of threads may use.

    Attributes:
        description: what the file says of it.
        takes_files: whether it decodes images itself, from the bytes of a file.
        batch_size: how many images a call should have.
        workers: how many threads should call it.
    """

    description: Description
    takes_files: bool
    batch_size: int
    workers: int

    def classify_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """Returns float32 [N, classes] for float32 [N, height, width, 3], normalised.

        Raises:
            GraphError: the network does not take such pixels.
        """

    def classify_file(self, data: bytes) -> np.ndarray:
        """Returns float32 [classes] for the bytes of an image's file.

        Raises:
            GraphError: the network's own decoder does not read it.
        """

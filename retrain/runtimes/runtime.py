"""The interface of a loaded network: images in, values out."""

import abc
import dataclasses

import numpy as np

from retrain.system.processors import processor_count


class ModelError(Exception):
    """A network cannot be loaded or run. The message is one line that says why."""


@dataclasses.dataclass(frozen=True)
class Description:
    """What a file says about the classifier in it. None stands for what it does not say.

    Attributes:
        labels: Labels in the order of the output values.
        height: Height of the input images in pixels.
        width: Width of the input images in pixels.
    """

    labels: tuple[str, ...] | None = None
    height: int | None = None
    width: int | None = None


NO_DESCRIPTION = Description()


@dataclasses.dataclass(frozen=True)
class NetworkOverrides:
    """What the user says about the network in a file. It wins over what the file says.

    Attributes:
        input_layer: Tensor of a graph to feed, with or without `:0`.
        output_layer: Tensor of a graph that has the scores, with or without `:0`.
        mean: Number to subtract from all pixels, 0 to 255.
        std: Number to divide all pixels by after that.
    """

    input_layer: str | None = None
    output_layer: str | None = None
    mean: float | None = None
    std: float | None = None


NO_OVERRIDES = NetworkOverrides()


class Runtime(abc.ABC):
    """A loaded network, ready to run in any number of threads.

    Attributes:
        description: What the file says about the classifier in it.
        takes_pixels: Whether `run` can be called.
        takes_files: Whether `run_file` can be called, because the network decodes images itself.
        batch_size: Best number of images for one call of `run`.
        workers: Number of threads that keep the network busy, decoding included.
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
    def run(self, pixels: np.ndarray) -> np.ndarray:
        """Returns the values of decoded images, float32 [N, values].

        Args:
            pixels: uint8 [N, height, width, 3], RGB, 0 to 255.

        Raises:
            ModelError: If the network does not take images of this size.
        """

    def run_file(self, data: bytes) -> np.ndarray:
        """Returns the values of one encoded image, float32 [values].

        Args:
            data: Content of an image file.

        Raises:
            ModelError: If the decoder in the network cannot read the file.
        """
        raise ModelError("it takes pixels, not files")

    @abc.abstractmethod
    def close(self) -> None:
        """Frees the network's memory. It cannot run afterwards."""

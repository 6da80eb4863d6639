"""The one way to use a classifier: images in, labels with scores out."""

import dataclasses
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path

import numpy as np

from label_image import labels_file, runtimes
from retrain.data import pixels
from retrain.errors import UserError
from retrain.runtimes.graph_session import GraphError
from retrain.system.threads import parallel_map

# What the original took where nothing is known of a graph with pixels as its input.
_USUAL_SIZE = 299
_USUAL_MEAN = (0.0, 0.0, 0.0)
_USUAL_STD = (255.0, 255.0, 255.0)

Source = Path | bytes


@dataclasses.dataclass(frozen=True)
class Overrides:
    """What the user says of a classifier; it wins over what the file says of itself.

    Attributes:
        labels_file: one label a line, in the order of the output.
        input_layer: the tensor to feed, with or without `:0`.
        output_layer: the tensor of the scores, with or without `:0`.
        height: of the pixels to feed.
        width: of the pixels to feed.
        mean: that is subtracted from each of them, 0 to 255.
        std: that they are divided by then.
    """

    labels_file: Path | None = None
    input_layer: str | None = None
    output_layer: str | None = None
    height: int | None = None
    width: int | None = None
    mean: float | None = None
    std: float | None = None


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The answer for one image.

    Attributes:
        source: the image, as it was given.
        ranked: every label with its score from 0 to 1, the best first.
    """

    source: Source
    ranked: tuple[tuple[str, float], ...]


@dataclasses.dataclass(frozen=True)
class UnreadableImage:
    """An image that could not be read.

    Attributes:
        source: the image, as it was given.
        reason: why it cannot be read.
    """

    source: Source
    reason: str


class Classifier:
    """A classifier that is ready for any number of images."""

    def __init__(self, graph: Path, overrides: Overrides = Overrides()) -> None:
        """Loads the file `graph`.

        Raises:
            UserError: the file, or what is said of it, cannot be used; the message says why.
        """
        self._runtime = runtimes.load(graph, overrides.input_layer, overrides.output_layer)
        described = self._runtime.description
        self.labels = _labels(graph, overrides.labels_file, described.labels)
        self._height = overrides.height or described.height or _USUAL_SIZE
        self._width = overrides.width or described.width or _USUAL_SIZE
        self._mean = _chosen(overrides.mean, described.mean or _USUAL_MEAN)
        self._std = _chosen(overrides.std, described.std or _USUAL_STD)
        self._swap_channels = described.channel_order == "BGR"

    def classify(self, sources: Iterable[Source]) -> Iterator[Prediction | UnreadableImage]:
        """Yields the answer for each image, in their order.

        Memory does not grow with their number.

        Args:
            sources: paths of files, or the bytes of files.

        Raises:
            UserError: the network does not take images of this size, or has another number of
                outputs than there are labels.
        """
        batches = _batches(sources, self._runtime.batch_size)
        answers = parallel_map(self._classify_batch, batches, self._runtime.workers)
        return chain.from_iterable(answers)

    def classify_one(self, source: Source) -> Prediction | UnreadableImage:
        """Returns the answer for one image, worked out in the thread that asks.

        Any number of threads may ask at the same time.

        Args:
            source: path of a file, or the bytes of one.

        Raises:
            UserError: as of `classify`.
        """
        (answer,) = self._classify_batch([source])
        return answer

    def _classify_batch(self, sources: list[Source]) -> list[Prediction | UnreadableImage]:
        if self._runtime.takes_files:
            return [self._classify_file(source) for source in sources]
        decoded = [self._decode(source) for source in sources]
        readable = [image for image in decoded if isinstance(image, np.ndarray)]
        scores = iter(self._classify_pixels(np.stack(readable)) if readable else [])
        return [
            image if isinstance(image, UnreadableImage) else self._prediction(source, next(scores))
            for source, image in zip(sources, decoded, strict=True)
        ]

    def _classify_file(self, source: Source) -> Prediction | UnreadableImage:
        try:
            return self._prediction(source, self._runtime.classify_file(_read(source)))
        except OSError as error:
            return UnreadableImage(source, error.strerror or str(error))
        except GraphError as error:
            return UnreadableImage(source, f"the graph cannot decode it ({error})")

    def _decode(self, source: Source) -> np.ndarray | UnreadableImage:
        try:
            return pixels.decode(_read(source), self._height, self._width)
        except OSError as error:
            return UnreadableImage(source, error.strerror or str(error))
        except pixels.UnreadableImageError as error:
            return UnreadableImage(source, str(error))

    def _classify_pixels(self, images: np.ndarray) -> np.ndarray:
        if self._swap_channels:
            images = images[..., ::-1]
        try:
            return self._runtime.classify_pixels(pixels.normalise(images, self._mean, self._std))
        except GraphError as error:
            raise UserError(
                f"the graph does not take images of {self._height} x {self._width} pixels "
                f"({error}); set --input_height and --input_width, or another --input_layer"
            ) from error

    def _prediction(self, source: Source, scores: np.ndarray) -> Prediction:
        if len(scores) != len(self.labels):
            raise UserError(
                f"the graph has {len(scores)} outputs, but there are {len(self.labels)} labels; "
                "give the --labels file that was written with the --graph"
            )
        # Equal scores keep the order of the labels.
        order = np.argsort(-scores, kind="stable")
        return Prediction(source, tuple((self.labels[i], float(scores[i])) for i in order))


def _labels(graph: Path, file: Path | None, described: tuple[str, ...] | None) -> tuple[str, ...]:
    if file is None:
        if described is None:
            raise UserError(
                f"--labels is needed: the graph {graph} does not say what its outputs mean; "
                "give a file with one label a line"
            )
        return described
    labels = labels_file.read(file)
    if described is not None and len(described) != len(labels):
        raise UserError(
            f"--labels={file} has {len(labels)} labels, but the graph {graph} has "
            f"{len(described)} outputs; leave the flag out, the graph knows its labels"
        )
    return labels


def _chosen(number: float | None, described: tuple[float, float, float]) -> tuple[float, ...]:
    return described if number is None else (number,) * 3


def _read(source: Source) -> bytes:
    return source if isinstance(source, bytes) else source.read_bytes()


def _batches(sources: Iterable[Source], size: int) -> Iterator[list[Source]]:
    remaining = iter(sources)
    while batch := list(islice(remaining, size)):
        yield batch

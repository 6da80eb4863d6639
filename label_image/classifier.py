"""Loads a classifier and labels images with it. All programs that label images use this."""

import dataclasses
import logging
from collections.abc import Iterable, Iterator
from itertools import chain, repeat
from pathlib import Path

import numpy as np

from label_image import labels_file, unknown_images
from label_image.image_decoding import ImageDecoding, Source
from retrain.backbones import efficientnet_lite0
from retrain.data import pixels
from retrain.data.image_limits import DEFAULT_LIMITS, ImageLimits
from retrain.errors import UserError
from retrain.runtimes import classifier_file, fit_flag
from retrain.runtimes.runtime import ModelError, NetworkOverrides, Outputs
from retrain.system.batches import batches
from retrain.system.threads import parallel_map

# Height and width for a graph that takes pixels but does not state their number, as in the original
# label_image.
_DEFAULT_SIZE = 299


@dataclasses.dataclass(frozen=True)
class Overrides(NetworkOverrides):
    """The user's settings for a classifier. Each one that is not None overrides the file's.

    Attributes:
        labels_file: File with one label per line, in the order of the scores.
        height: Height of the input images in pixels.
        width: Width of the input images in pixels.
        fit: How images of another aspect ratio are resized; only for files that do not state it.
        unknown_below: Familiarity, 0 to 1, below which an image shows none of the classes. 0
            accepts all images.
    """

    labels_file: Path | None = None
    height: int | None = None
    width: int | None = None
    fit: str | None = None
    unknown_below: float | None = None


NO_OVERRIDES = Overrides()


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The labels of one image.

    Attributes:
        source: The path or content that the caller passed.
        ranked: All labels with their scores, 0 to 1, best first.
        familiarity: Share of images of the classes that look less familiar than this one, 0 to 1;
            None if the classifier does not state how familiar images are.
        is_unknown: Whether the familiarity is so low that the image shows none of the classes.
    """

    source: Source
    ranked: tuple[tuple[str, float], ...]
    familiarity: float | None = None
    is_unknown: bool = False


@dataclasses.dataclass(frozen=True)
class UnreadableImage:
    """An image that cannot be labelled.

    Attributes:
        source: The path or content that the caller passed.
        reason: Why the image cannot be read.
    """

    source: Source
    reason: str


class Classifier:
    """A classifier that is ready to label images in any number of threads.

    Attributes:
        labels: Labels in the order of the network's outputs.
        unknown_below: Familiarity below which an image is unknown; None if the classifier does not
            state how familiar images are.
        runtime: The loaded network.
        decoding: How images are decoded for the network.
        overrides: The user's settings.
    """

    def __init__(
        self,
        graph: Path,
        *,
        overrides: Overrides = NO_OVERRIDES,
        limits: ImageLimits = DEFAULT_LIMITS,
    ) -> None:
        """Loads a classifier.

        Args:
            graph: Frozen graph, TFLite file, or a Keras file or SavedModel folder that retrain
                wrote.
            overrides: The user's settings, which override those in the file.
            limits: Budget of each image.

        Raises:
            UserError: If the file or the overrides cannot be used.
        """
        self.overrides = overrides
        self.runtime = classifier_file.load(graph, efficientnet_lite0.find, overrides=overrides)
        description = self.runtime.description
        self.labels = labels_file.resolve(graph, overrides.labels_file, description.labels)
        self.unknown_below = unknown_images.resolve_threshold(
            graph, overrides.unknown_below, has_familiarity=description.familiarity is not None
        )
        fit = fit_flag.resolve(overrides.fit, description.fit, f"--graph={graph}")
        if not self.runtime.takes_pixels:
            _refuse_pixel_settings(graph, overrides, described_fit=description.fit)
        self.decoding = ImageDecoding(
            height=overrides.height or description.height or _DEFAULT_SIZE,
            width=overrides.width or description.width or _DEFAULT_SIZE,
            fit=fit,
            preprocessing_version=(
                description.preprocessing_version or pixels.PREPROCESSING_VERSION
            ),
            limits=limits,
        )
        if description.assumption:
            logging.warning("%s: %s.", graph, description.assumption)

    def classify(self, sources: Iterable[Source]) -> Iterator[Prediction | UnreadableImage]:
        """Yields the result for each image, in order.

        Memory use does not grow with the number of images.

        Args:
            sources: Paths or contents of image files.

        Raises:
            UserError: If the network does not take images of this size, or does not compute one
                score per label.
        """
        results = parallel_map(
            self._classify_batch,
            batches(sources, self.runtime.batch_size),
            self.runtime.workers,
        )
        return chain.from_iterable(results)

    def classify_one(self, source: Source) -> Prediction | UnreadableImage:
        """Returns the result for one image, computed in the calling thread.

        Args:
            source: Path or content of an image file.

        Raises:
            UserError: As for `classify`.
        """
        (result,) = self._classify_batch([source])
        return result

    def _classify_batch(self, sources: list[Source]) -> list[Prediction | UnreadableImage]:
        if not self.runtime.takes_pixels:
            return [self._classify_file(source) for source in sources]
        decoded = [self._decode(source) for source in sources]
        readable = [image for image in decoded if isinstance(image, np.ndarray)]
        outputs = iter(self._classify_pixels(np.stack(readable)) if readable else [])
        return [
            image if isinstance(image, UnreadableImage) else self._prediction(source, next(outputs))
            for source, image in zip(sources, decoded, strict=True)
        ]

    def _classify_file(self, source: Source) -> Prediction | UnreadableImage:
        try:
            data = self.decoding.read(source)
            pixels.check_budget(data, self.decoding.limits)
            outputs = self.runtime.predict_file(data)
            self._check_scores(outputs.values, ())
            return self._prediction(source, outputs)
        except pixels.UnreadableImageError as error:
            return UnreadableImage(source, str(error))
        except ModelError as error:
            return UnreadableImage(source, f"the graph cannot decode it ({error})")

    def _decode(self, source: Source) -> np.ndarray | UnreadableImage:
        try:
            return self.decoding.decode(self.decoding.read(source))
        except pixels.UnreadableImageError as error:
            return UnreadableImage(source, str(error))

    def _classify_pixels(self, images: np.ndarray) -> list[Outputs]:
        """Returns the outputs for each image."""
        try:
            scores, familiarity = self.runtime.predict(images)
        except ModelError as error:
            height, width = self.decoding.height, self.decoding.width
            raise UserError(
                f"the graph does not take images of {height} x {width} pixels "
                f"({error}); set --input_height and --input_width, or another --input_layer"
            ) from error
        self._check_scores(scores, (len(images),))
        familiarities = repeat(None, len(images)) if familiarity is None else familiarity
        return [Outputs(*each) for each in zip(scores, familiarities, strict=True)]

    def _check_scores(self, scores: np.ndarray, images_shape: tuple[int, ...]) -> None:
        """Raises UserError unless the network computes one score per label for each image."""
        is_float = np.issubdtype(scores.dtype, np.floating)
        if not is_float or scores.shape[:-1] != images_shape or not scores.ndim:
            raise UserError(
                f"the graph computes {scores.dtype} {list(scores.shape)} instead of floating-point "
                "scores, one per label for each image; set another --output_layer, or give a file "
                "that retrain wrote"
            )
        if scores.shape[-1] != len(self.labels):
            raise UserError(
                f"the graph has {scores.shape[-1]} outputs, but there are {len(self.labels)} "
                "labels; give the --labels file that was written with the --graph"
            )

    def _prediction(self, source: Source, outputs: Outputs) -> Prediction | UnreadableImage:
        scores, familiarity = outputs
        if not np.isfinite(scores).all() or not np.isfinite(familiarity or 0):
            return UnreadableImage(source, "the graph computes scores that are not finite numbers")
        # Equal scores keep the order of the labels.
        order = np.argsort(-scores, kind="stable")
        ranked = tuple((self.labels[i], float(scores[i])) for i in order)
        if familiarity is None:
            return Prediction(source, ranked)
        is_unknown = bool(familiarity < (self.unknown_below or 0))
        return Prediction(source, ranked, float(familiarity), is_unknown=is_unknown)


def _refuse_pixel_settings(graph: Path, overrides: Overrides, *, described_fit: str | None) -> None:
    """Raises UserError if a setting has no effect on a network that decodes image files itself."""
    settings = {
        "fit": None if described_fit else overrides.fit,
        "input_mean": overrides.mean,
        "input_std": overrides.std,
        "input_height": overrides.height,
        "input_width": overrides.width,
    }
    for flag, value in settings.items():
        if value is not None:
            raise UserError(
                f"--{flag}={value} is for networks that take pixels, but {graph} decodes and "
                "resizes image files itself; leave the flag out"
            )

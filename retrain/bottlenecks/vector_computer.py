"""Computes bottlenecks of image files: reads, decodes, distorts and runs the network."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
from PIL import Image

from retrain.backbones.backbone import Backbone
from retrain.bottlenecks.file_version import FileVersion
from retrain.data import distortions, image_traits, pixels
from retrain.data.dataset import ImageFile
from retrain.data.image_limits import DEFAULT_LIMITS
from retrain.errors import UserError
from retrain.metadata import STRETCH
from retrain.runtimes.runtime import Runtime
from retrain.system.batches import batches
from retrain.system.files.regular_files import open_regular_file, read_bounded
from retrain.training_options import DistortionOptions

# Returns the version, if there is one, and the content of the image with an index. Raises OSError
# if it cannot be read.
ReadImage = Callable[[int], tuple[FileVersion | None, bytes]]


@dataclass
class ImageVectors:
    """The bottlenecks that were computed for one image.

    Attributes:
        row: Index of the image in its split.
        version: Version of the file that was read; None if it cannot be opened.
        digest: SHA-256 of the file.
        numbers: Numbers of the computed variants. The other variants are in the store.
        vectors: float16 [len(numbers), feature_width].
        problem: Why the image cannot be read; None if it can be read.
        doubts: What makes the image hardly of use.
        traits: Traits of the image, a TRAITS scalar; None if the undistorted image was not needed.
    """

    row: int
    version: FileVersion | None = None
    digest: bytes = b""
    numbers: list[int] = field(default_factory=list)
    vectors: np.ndarray = field(default_factory=lambda: np.empty(0, np.float16))
    problem: str | None = None
    doubts: list[str] = field(default_factory=list)
    traits: np.ndarray | None = None


class VectorComputer:
    """Computes bottlenecks. Any number of threads can use it at the same time."""

    def __init__(
        self,
        images: Sequence[ImageFile],
        backbone: Backbone,
        network: Runtime,
        options: DistortionOptions,
        *,
        stored: Mapping[bytes, int],
        read: ReadImage | None = None,
    ) -> None:
        """Prepares to compute the variants that are not in the store.

        Args:
            images: Images of a split.
            backbone: Backbone that computes the bottlenecks.
            network: The loaded backbone.
            options: Kinds, limits and number of the distortions.
            stored: Variants that are in the store, by SHA-256 of the image file. Bit n of the
                number stands for variant n.
            read: Function that reads an image; None for one that opens its path.
        """
        self._images = images
        self._backbone = backbone
        self._network = network
        self._options = options
        self._stored = stored
        self._read = read or self._read_file

    def compute(self, rows: Sequence[int]) -> list[ImageVectors]:
        """Computes the missing bottlenecks of the images with the indices `rows`.

        Raises:
            UserError: If the network returns numbers that do not fit into float16.
        """
        results = [ImageVectors(row) for row in rows]
        # Variants are decoded one batch at a time, so that memory does not grow with their number.
        variants = chain.from_iterable(self._decode_missing_variants(result) for result in results)
        computed = [self._run(batch) for batch in batches(variants, self._network.batch_size)]
        vectors = np.concatenate([self._no_vectors(), *computed])
        ends = np.cumsum([len(result.numbers) for result in results])
        for result, own_vectors in zip(results, np.split(vectors, ends[:-1]), strict=True):
            result.vectors = own_vectors
        return results

    def _decode_missing_variants(self, result: ImageVectors) -> Iterator[np.ndarray]:
        """Yields the pixels of variants that are not in the store, and completes `result`."""
        decoded: list[Image.Image] = []
        try:
            result.version, data = self._read(result.row)
            result.digest = hashlib.sha256(data).digest()
            stored = self._stored.get(result.digest, 0)
            missing = [n for n in range(1 + self._options.cached) if not stored >> n & 1]
            variants = distortions.decode_variants(
                data,
                missing,
                self._options,
                digest=result.digest,
                warn=result.doubts.append,
                height=self._backbone.height,
                width=self._backbone.width,
                fit=self._backbone.fit,
                on_decoded=decoded.append,
            )
            for number, variant in zip(missing, variants, strict=True):
                if number == distortions.UNDISTORTED:
                    resized = variant if self._backbone.fit == STRETCH else None
                    result.traits = image_traits.measure(data, decoded.pop(), resized)
                result.numbers.append(number)
                yield variant
        except OSError as error:
            result.problem = error.strerror or str(error)
        except pixels.UnreadableImageError as error:
            result.problem = str(error)

    def _read_file(self, row: int) -> tuple[FileVersion, bytes]:
        with open_regular_file(self._images[row].path) as file:
            version = FileVersion.from_stat(os.fstat(file.fileno()))
            return version, read_bounded(file, DEFAULT_LIMITS.file_bytes)

    def _run(self, images: list[np.ndarray]) -> np.ndarray:
        """Returns float16 [N, feature_width] for N images."""
        # Numbers that are too large for float16 become infinite, which is reported below.
        with np.errstate(over="ignore"):
            vectors = self._network.run(np.stack(images)).astype(np.float16)
        if not np.isfinite(vectors).all():
            raise UserError(
                f"{self._backbone.name} computes bottlenecks with numbers that are infinite or too "
                "large for float16; choose another network, or check --input_mean, --input_std and "
                "--bottleneck_layer"
            )
        return vectors

    def _no_vectors(self) -> np.ndarray:
        return np.empty((0, self._backbone.feature_width), np.float16)

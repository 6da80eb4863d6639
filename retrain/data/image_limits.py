"""The budget for reading one image, and the checks before its pixels are decoded."""

import math
from dataclasses import dataclass
from typing import NamedTuple

from retrain.data.unreadable_image import UnreadableImageError

Size = tuple[int, int]

# Resizing takes 16 bytes for each pixel of the longer side, in addition to those of all pixels.
_BYTES_PER_LENGTH = 16
_PIXELS_PER_LENGTH = 16
# Parsing a file copies it without the parts that a decoder does not need.
_COPIES_OF_FILE = 2


@dataclass(frozen=True)
class ImageLimits:
    """Budget for reading one image. An image that exceeds it is refused.

    Files of cameras and of programs stay far below the defaults. A file can be small and still
    demand hours or gigabytes, so a program that decodes images of strangers needs all limits.

    Attributes:
        file_bytes: Maximum size of the file in bytes.
        head_bytes: Maximum number of bytes that a decoder must read besides the pixels, such as
            tables and palettes. Metadata is skipped and does not count.
        parts: Maximum number of segments, chunks, blocks or boxes in the file.
        scans: Maximum number of scans of a JPEG file. Each costs time for all pixels.
        pixels: Maximum number of pixels.
        memory_bytes: Maximum number of bytes for the file, the pixels, and all that a decoder keeps
            besides them.
        seconds: Maximum time for decoding on a processor of 2020. A separate process, which decodes
            some formats, is ended after this time on any processor.
    """

    file_bytes: int = 500_000_000
    head_bytes: int = 10_000_000
    parts: int = 100_000
    scans: int = 100
    pixels: int = 200_000_000
    memory_bytes: int = 2_000_000_000
    seconds: float = 30

    def check_file(self, file_bytes: int) -> None:
        """Checks the size of a file.

        Raises:
            UnreadableImageError: If the file is too large.
        """
        if file_bytes > self.file_bytes:
            raise UnreadableImageError(
                f"it has {file_bytes:,} bytes, more than the maximum of {self.file_bytes:,}"
            )

    def check_parts(self, count: int, name: str) -> None:
        """Checks the number of parts of a file.

        Args:
            count: Number of parts that were found so far.
            name: What the format calls the parts.

        Raises:
            UnreadableImageError: If there are too many.
        """
        if count > self.parts:
            raise UnreadableImageError(f"it has more than {self.parts:,} {name}")

    def check_head(self, head_bytes: int) -> None:
        """Checks the number of bytes that a decoder must read besides the pixels.

        Raises:
            UnreadableImageError: If there are too many.
        """
        if head_bytes > self.head_bytes:
            raise UnreadableImageError(f"its head has more than {self.head_bytes:,} bytes")

    def check_size(self, size: Size) -> None:
        """Checks the width and height of an image in pixels.

        Raises:
            UnreadableImageError: If the image or its longer side has too many pixels.
        """
        if math.prod(size) > self.pixels:
            raise UnreadableImageError(
                f"it has {size[0]} x {size[1]} pixels, more than the maximum of {self.pixels:,}"
            )
        if max(size) > self.pixels // _PIXELS_PER_LENGTH:
            raise UnreadableImageError(
                f"it has {size[0]} x {size[1]} pixels, and its longer side has more than the "
                f"maximum of {self.pixels // _PIXELS_PER_LENGTH:,}"
            )

    def check_cost(
        self, cost: "Cost", size: Size, *, file_bytes: int, decoded_size: Size | None = None
    ) -> None:
        """Checks the memory and time that decoding takes.

        Args:
            cost: Cost of the format.
            size: Width and height of the image in pixels.
            file_bytes: Size of the file.
            decoded_size: Width and height that the decoder reduces the image to; None if it does
                not reduce it.

        Raises:
            UnreadableImageError: If decoding takes too much of them.
        """
        memory = cost.memory(size, file_bytes=file_bytes, decoded_size=decoded_size)
        if memory > self.memory_bytes:
            raise UnreadableImageError(
                f"decoding its {size[0]} x {size[1]} pixels takes {_megabytes(memory)} of memory, "
                f"more than the maximum of {_megabytes(self.memory_bytes)}"
            )
        seconds = cost.seconds(size, file_bytes=file_bytes)
        if seconds > self.seconds:
            raise UnreadableImageError(
                f"decoding its {size[0]} x {size[1]} pixels takes about {seconds:,.0f} seconds, "
                f"more than the maximum of {self.seconds:g}"
            )


DEFAULT_LIMITS = ImageLimits()


class Cost(NamedTuple):
    """What decoding a file of some kind takes at most.

    `tests/retrain/data/memory_test.py` compares the memory with what it measures.

    Attributes:
        bytes_per_pixel: Memory for each decoded pixel, including the resulting RGB image.
        bytes_per_stored_pixel: Additional memory for each pixel before the decoder reduces them.
        pixel_nanoseconds: Time for each pixel before the decoder reduces them.
        byte_nanoseconds: Time for each byte of the file.
    """

    bytes_per_pixel: float
    bytes_per_stored_pixel: float = 0
    pixel_nanoseconds: float = 60
    byte_nanoseconds: float = 20

    def memory(self, size: Size, *, file_bytes: int, decoded_size: Size | None = None) -> int:
        """Returns the number of bytes; see `ImageLimits.check_cost` for the arguments."""
        return round(
            _COPIES_OF_FILE * file_bytes
            + _BYTES_PER_LENGTH * max(size)
            + self.bytes_per_stored_pixel * math.prod(size)
            + self.bytes_per_pixel * math.prod(decoded_size or size)
        )

    def seconds(self, size: Size, *, file_bytes: int) -> float:
        """Returns the time; see `ImageLimits.check_cost` for the arguments."""
        pixels, per_byte = math.prod(size), self.byte_nanoseconds
        return 1e-9 * (pixels * self.pixel_nanoseconds + file_bytes * per_byte)


def _megabytes(count: float) -> str:
    return f"{count / 1e6:,.0f} MB"

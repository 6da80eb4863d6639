"""The most that a model of others can make the programs hold, which is more than any needs."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class ModelLimits:
    """Limits for what the file of a model states about itself, and for what is unpacked from it.

    Attributes:
        file_bytes: Size of a file with a network. Messages of protocol buffers cannot be larger.
        metadata_bytes: Size of the metadata, which are JSON.
        labels_bytes: Size of a file of labels.
        labels: Number of labels.
        label_characters: Length of a label, or of any other name in the metadata.
        image_side: Height or width of the input images in pixels.
        entries: Number of files in an archive.
        unpacked_bytes: Size of all files in an archive.
        unpacked_ratio: Size of all files in an archive, relative to the archive.
        small_bytes: Size up to which archives can have any ratio.
        constant_values: Number of values of a constant in a graph.
        factor: Number that pixels are normalised or quantised with, and its inverse. The product
            with a larger one exceeds the range of float32.
    """

    file_bytes: int = 2**31
    metadata_bytes: int = 8_000_000
    labels_bytes: int = 8_000_000
    labels: int = 100_000
    label_characters: int = 1000
    image_side: int = 10_000
    entries: int = 1000
    unpacked_bytes: int = 8_000_000_000
    unpacked_ratio: int = 50
    small_bytes: int = 50_000_000
    constant_values: int = 2**29
    factor: float = 1e30

    def unpacked(self, packed: int) -> int:
        """Returns the most bytes that an archive can unpack to.

        Weights hardly become smaller by compression, so only an archive that was made to fill the
        memory or the disk exceeds the ratio.

        Args:
            packed: Size of the archive in bytes.
        """
        return min(self.unpacked_bytes, max(self.small_bytes, packed * self.unpacked_ratio))


LIMITS = ModelLimits()

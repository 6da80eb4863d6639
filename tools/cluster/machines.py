"""The machines that a program uses."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Machines:
    """The machines that process images.

    Attributes:
        ray_address: Address of a Ray cluster; None for this machine.
        images_per_file: Maximum number of images in a file of results.
    """

    ray_address: str | None
    images_per_file: int

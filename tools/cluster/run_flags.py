"""The flags of programs that work on one machine or on a cluster."""

from absl import flags

_RAY_ADDRESS = flags.DEFINE_string(
    "ray_address",
    None,
    "Host and port of the head node of a Ray cluster, or auto for the cluster that this machine "
    "belongs to. By default, this machine works alone.",
)
_IMAGES_PER_FILE = flags.DEFINE_integer(
    "images_per_file",
    2048,
    "Maximum number of images in a file of results. If a machine fails, at most the work on this "
    "number is lost for each of its processors.",
    lower_bound=1,
    upper_bound=1_000_000,
)


def ray_address() -> str | None:
    """Returns the address of the cluster, or None to work on this machine only."""
    return _RAY_ADDRESS.value or None


def images_per_file() -> int:
    """Returns the maximum number of images in a file of results."""
    return _IMAGES_PER_FILE.value

"""The flags of programs that work on one machine or on a cluster."""

from absl import flags

from tools.cluster.machines import Machines

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


def machines() -> Machines:
    """Returns the machines that process the images."""
    return Machines(_RAY_ADDRESS.value or None, _IMAGES_PER_FILE.value)

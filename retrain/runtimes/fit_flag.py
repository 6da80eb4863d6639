"""Defines --fit for classifiers of other programs, and compares it with what a file states."""

from absl import flags

from retrain.errors import UserError
from retrain.metadata import FITS, STRETCH

# The flag belongs to the program that calls `define`.
flags.disclaim_key_flags()


def define() -> flags.FlagHolder[str | None]:
    """Defines --fit, the flag for classifiers whose file does not state how to resize images."""
    return flags.DEFINE_enum(
        "fit",
        None,
        FITS,
        "How images whose aspect ratio is not that of the network's input were resized for the "
        "training: stretch, crop to the centre, or pad with black bars. Only for classifiers that "
        "do not state it; the default is stretch.",
    )


def resolve(requested: str | None, stated: str | None, file: str) -> str:
    """Returns how a classifier's images are resized: as for its training, or else as requested.

    Args:
        requested: Value of --fit; None if it is not set.
        stated: What the metadata of the classifier state; None if it has none.
        file: The flag that names the classifier's file, with its value, for the error message.

    Raises:
        UserError: If the two contradict each other.
    """
    if requested and stated and requested != stated:
        raise UserError(
            f"--fit={requested} contradicts {file}, which was trained with --fit={stated}; leave "
            "out --fit, or choose another file"
        )
    return stated or requested or STRETCH

"""The flags that augment training images."""

from absl import flags

from retrain.errors import UserError
from retrain.training_options import DistortionOptions

# Heading of these flags in --help.
HEADING = "Distortions of the training images"

_DEFAULTS = DistortionOptions()

_RANDOM_CROP = flags.DEFINE_float(
    "random_crop",
    _DEFAULTS.random_crop,
    "Margin to crop from training images at random, in percent of the size of the result.",
    lower_bound=0,
    upper_bound=100,
)
_RANDOM_SCALE = flags.DEFINE_float(
    "random_scale",
    _DEFAULTS.random_scale,
    "Maximum random enlargement of training images in percent.",
    lower_bound=0,
    upper_bound=100,
)
_RANDOM_BRIGHTNESS = flags.DEFINE_float(
    "random_brightness",
    _DEFAULTS.random_brightness,
    "Maximum random change of the brightness of training images in percent.",
    lower_bound=0,
    upper_bound=100,
)
_FLIP_LEFT_RIGHT = flags.DEFINE_boolean(
    "flip_left_right",
    _DEFAULTS.flip_left_right,
    "Whether to mirror half of the distorted training images.",
)
_PER_IMAGE = flags.DEFINE_integer(
    "distortions_per_image",
    _DEFAULTS.per_image,
    "Number of distorted variants of each training image, besides the image itself. Their "
    "bottlenecks are cached, so that a later run with more variants computes only the new ones. 0 "
    "computes new variants in every training step, as in TensorFlow's image_retraining, which "
    "takes hours.",
    lower_bound=0,
    upper_bound=1000,
)


def parse_options(*, seed: int) -> DistortionOptions:
    """Returns how to augment training images.

    Args:
        seed: Random seed of the variants.

    Raises:
        UserError: If there are variants but no distortions.
    """
    result = DistortionOptions(
        random_crop=_RANDOM_CROP.value,
        random_scale=_RANDOM_SCALE.value,
        random_brightness=_RANDOM_BRIGHTNESS.value,
        flip_left_right=_FLIP_LEFT_RIGHT.value,
        per_image=_PER_IMAGE.value,
        seed=seed,
    )
    if _PER_IMAGE.present and not result.any:
        raise UserError(
            f"--distortions_per_image={result.per_image} needs a distortion; add --random_crop, "
            "--random_scale, --random_brightness or --flip_left_right"
        )
    return result

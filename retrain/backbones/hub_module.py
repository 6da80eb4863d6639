"""Loads backbones from TensorFlow Hub modules."""

import hashlib
import json
import logging
from pathlib import Path

from retrain.backbones import backbone_cache, backbone_files, freeze, hub_download, hub_function
from retrain.backbones.backbone import Backbone, BackboneInfo
from retrain.config import BackboneOptions
from retrain.errors import UserError
from retrain.runtimes.runtime import ModelError, check_image_size
from retrain.system.files import checksums
from retrain.system.program.console import quiet_libraries

# Increase this number when the same module and options result in different features.
_VERSION = 2

# Modules take values from 0 to 1: https://www.tensorflow.org/hub/common_signatures/images
_MEAN = (0.0, 0.0, 0.0)
_STD = (255.0, 255.0, 255.0)

_IMAGENET_CLASSES = (1000, 1001)


def load(options: BackboneOptions, cache_dir: Path) -> Backbone:
    """Returns the network in the module that `options.tfhub_module` names.

    Args:
        options: Which network to load.
        cache_dir: Folder of the cache.

    Raises:
        UserError: If the module is missing, does not accept images, or does not compute one vector
            for each image.
    """
    handle = options.tfhub_module
    assert handle is not None
    folder = hub_download.find_folder(handle, cache_dir)
    input_options = (
        options.input_height,
        options.input_width,
        options.input_mean,
        options.input_std,
        hub_download.size_in_name(handle),
    )
    key = json.dumps([_VERSION, _digests(folder), input_options])
    fingerprint = hashlib.sha256(key.encode()).hexdigest()
    name = hub_download.module_name(handle)

    def prepare(new: Path) -> BackboneInfo:
        with quiet_libraries():
            module = hub_function.load(folder, handle, trust_model=options.trust_model)
        # This function logs, so it must not run in the block above.
        size = _input_size(options, handle, module.stated_shape)
        try:
            check_image_size(*size)
        except ModelError as error:
            raise UserError(
                f"--tfhub_module={handle} cannot be used: {error}; set --input_height and "
                "--input_width"
            ) from error
        with quiet_libraries():
            info = BackboneInfo(
                name=name,
                fingerprint=fingerprint,
                height=size[0],
                width=size[1],
                mean=options.input_mean or _MEAN,
                std=options.input_std or _STD,
                channel_order="RGB",
                feature_width=hub_function.measure_feature_width(module.call, size, handle),
                needs_trust=module.needs_trust,
            )
            network = freeze.GraphSlice.from_function(
                freeze.freeze_function(module.call, (None, *size, 3))
            )
            if not module.needs_trust:
                # This finds random operations, which the module can have for training.
                hub_function.check(network.graph, handle)
            backbone_files.write_graph(
                network,
                freeze.freeze_function(module.call, (1, *size, 3)),
                info,
                features=module.call,
                folder=new,
                name=f"--tfhub_module={handle}",
            )
        if info.feature_width in _IMAGENET_CLASSES:
            logging.warning(
                "The %d outputs of %s look like scores of classes. A feature vector module is a "
                "better base.",
                info.feature_width,
                handle,
            )
        return info

    return backbone_cache.load_or_prepare(cache_dir, name, fingerprint, prepare)


def _digests(folder: Path) -> list[tuple[str, str]]:
    """Returns the relative path and the SHA-256 of every file in a module."""
    return [
        (str(file.relative_to(folder)), checksums.sha256(file))
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != checksums.FILE_NAME
    ]


def _input_size(
    options: BackboneOptions, handle: str, stated_shape: list[int | None] | None
) -> tuple[int, int]:
    """Returns the height and width of the input images.

    The options come first, then the shape in the module, then the number in the module's name.

    Raises:
        UserError: If none of them states the size.
    """
    _, height, width, _ = stated_shape or (None, None, None, None)
    height, width = options.input_height or height, options.input_width or width
    if height is not None and width is not None:
        return height, width
    default = hub_download.size_in_name(handle)
    if default is None:
        raise UserError(
            f"--tfhub_module={handle} accepts images of any size; set --input_height and "
            "--input_width to the size that it was trained with, such as 224"
        )
    height, width = height or default, width or default
    logging.info(
        "%s accepts images of any size. They are resized to %d x %d pixels, since %d is part of "
        "its name; --input_height and --input_width set another size.",
        hub_download.module_name(handle),
        height,
        width,
        default,
    )
    return height, width

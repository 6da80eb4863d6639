"""Quantises the backbone to int8 for the images of a data set, or loads an earlier result.

The features of two int8 networks differ, and a head fits only the network it was trained with. An
earlier network is therefore reused if its value ranges were measured on similar images. The
features in the cache then stay valid when images are added.
"""

import contextlib
import hashlib
import json
import logging
from collections.abc import Collection, Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

from retrain.backbones import quantise
from retrain.backbones.backbone import Backbone
from retrain.data import image_reader, pixels
from retrain.data.dataset import Dataset, ImageFile
from retrain.data.splits import TRAINING
from retrain.errors import UserError
from retrain.metadata import STRETCH
from retrain.runtimes.litert import LiteRTModel
from retrain.runtimes.preprocessing import Preprocessing
from retrain.runtimes.runtime import ModelError
from retrain.system.files.private_files import read_private
from retrain.system.outputs.atomic_files import write_file

# More images do not improve the features.
_SAMPLE_SIZE = 50
_MIN_IMAGES = 20

# Minimum fraction of a network's images that must be in the present sample.
_MIN_COMMON = 0.5

# Key of the SHA-256 of the images in the JSON file, as in the files of earlier versions.
_IMAGES_KEY = "pictures"
# Key of `Backbone.stage_widths`, which is missing if there are none.
_STAGES_KEY = "stages"
# Key of `Backbone.fit`, which is missing if images are stretched.
_FIT_KEY = "fit"
_DIGEST_KEY = "sha256"


def load_or_quantise(dataset: Dataset, backbone: Backbone, cache_dir: Path) -> bytes:
    """Returns the backbone in int8, with value ranges that fit the training images.

    The ranges are measured on a sample of the training images. The sample is selected by hashes of
    file names, so that it changes little when images are added. Each network is stored in the
    folder of the cache, together with a list of its images. It is used again if at least half of
    these images are in the present sample.

    Args:
        dataset: Images to measure value ranges on.
        backbone: Network to quantise.
        cache_dir: Folder for the quantised networks.

    Raises:
        UserError: If too few images can be read, the network cannot be quantised, or the folder
            cannot be read or written.
    """
    # The exported file contains the network with all features.
    backbone = backbone.with_stages()
    contents = [_read(image) for image in _sample(dataset)]
    digests = sorted({hashlib.sha256(data).hexdigest() for data in contents})
    for path, digest in _fitting_networks(cache_dir, backbone, digests):
        network = _load(path, digest)
        if network is not None:
            return network
    network = _quantise(contents, backbone)
    description = _describe(backbone, digests)
    name = hashlib.sha256(_to_json(description).encode()).hexdigest()[:16]
    path = cache_dir / f"{_prefix(backbone)}{name}.tflite"
    description[_DIGEST_KEY] = hashlib.sha256(network).hexdigest()
    write_file(path, network)
    write_file(path.with_suffix(".json"), _to_json(description))
    return network


def _sample(dataset: Dataset) -> list[ImageFile]:
    def order(image: ImageFile) -> tuple[bytes, Path]:
        name = f"{dataset.folders[image.class_id]}/{image.path.name}"
        # Files in different sub-folders of a class can have the same name.
        return hashlib.sha256(name.encode(errors="surrogateescape")).digest(), image.path

    return sorted(dataset.split(TRAINING), key=order)[:_SAMPLE_SIZE]


def _prefix(backbone: Backbone) -> str:
    return f"{backbone.name}_int8_"


def _describe(backbone: Backbone, digests: Collection[str]) -> dict[str, Any]:
    """Returns a description of everything that determines a network.

    Args:
        backbone: Backbone that is quantised.
        digests: SHA-256 of the images that value ranges are measured on.
    """
    stages = {_STAGES_KEY: list(backbone.stage_widths)} if backbone.stage_widths else {}
    fit = {_FIT_KEY: backbone.fit} if backbone.fit != STRETCH else {}
    return {
        "backbone": backbone.fingerprint,
        "preprocessing": pixels.PREPROCESSING_VERSION,
        **stages,
        **fit,
        _IMAGES_KEY: list(digests),
    }


def _to_json(description: dict[str, Any]) -> str:
    return json.dumps(description, indent=2) + "\n"


def _fitting_networks(
    cache_dir: Path, backbone: Backbone, digests: Collection[str]
) -> list[tuple[Path, str | None]]:
    """Returns the files with networks that fit the images, the best first, and their SHA-256."""
    present = set(digests)
    fitting = []
    for path, measured_on, digest in _described_networks(cache_dir, backbone):
        common = len(measured_on & present)
        if measured_on and common >= _MIN_COMMON * len(measured_on):
            fitting.append((-common, len(measured_on), path, digest))
    return [(path, digest) for _, _, path, digest in sorted(fitting, key=itemgetter(0, 1, 2))]


def _described_networks(
    cache_dir: Path, backbone: Backbone
) -> Iterator[tuple[Path, set[str], str | None]]:
    """Yields the file of each network for the backbone, the SHA-256 of its images, and its own.

    Earlier versions did not write the latter.
    """
    for path in cache_dir.glob("*.json"):
        if not path.name.startswith(_prefix(backbone)):
            continue
        # A network without a valid description is ignored.
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
            content = json.loads(read_private(path))
            digest = content.pop(_DIGEST_KEY, None)
            images = content[_IMAGES_KEY]
            if content == _describe(backbone, images):
                yield path.with_suffix(".tflite"), set(images), digest


def _load(path: Path, digest: str | None) -> bytes | None:
    """Returns the network in the file, or None if it is missing or damaged."""
    try:
        network = read_private(path)
        if digest not in (None, hashlib.sha256(network).hexdigest()):
            raise ModelError("its SHA-256 is another one")
        LiteRTModel(network)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; remove it") from error
    except ModelError as error:
        logging.warning("%s is damaged (%s) and will be replaced.", path, error)
        return None
    return network


def _read(image: ImageFile) -> bytes:
    """Returns the content of the file, or nothing if it cannot be read."""
    try:
        return image_reader.read(image.path)
    except OSError:
        return b""


def _quantise(contents: list[bytes], backbone: Backbone) -> bytes:
    alternatives = "choose another --engine and another --tflite_quantization"
    images = []
    for data in contents:
        with contextlib.suppress(pixels.UnreadableImageError):
            images.append(pixels.decode(data, backbone.height, backbone.width, fit=backbone.fit))
    if len(images) < _MIN_IMAGES:
        raise UserError(
            f"int8 needs {_MIN_IMAGES} training images that can be read, to measure value ranges, "
            f"but there are {len(images)}; {alternatives}"
        )
    logging.info("Quantising %s to int8, measured on %d images.", backbone.name, len(images))
    inputs = map(Preprocessing.of(backbone).apply, images)
    try:
        return quantise.to_int8(backbone.read_tflite(), inputs)
    except quantise.QuantisationError as error:
        raise UserError(
            f"--architecture={backbone.name} cannot be quantised to int8 ({error}); {alternatives}"
        ) from error

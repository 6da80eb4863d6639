"""The int8 network of a data set: quantised once for images that it is learned from, then kept.

Features of another network are others, and a head is for one of them alone. A network is therefore
kept for as long as it fits: what was measured on some images holds for more of their kind, and
features in the cache stay of use when images are added.
"""

import contextlib
import hashlib
import json
import logging
from collections.abc import Collection, Iterator
from pathlib import Path

from retrain.backbones import quantise
from retrain.backbones.backbone import Backbone
from retrain.data import pixels
from retrain.data.dataset import Dataset, ImageFile
from retrain.data.splits import TRAINING
from retrain.errors import UserError
from retrain.runtimes.litert import LiteRTError, LiteRTModel
from retrain.system.files import write_file

# More did not change what features are worth.
_IMAGES = 50
_FEWEST_IMAGES = 20

# Of the images that a network was measured on: how many must be in the present draw.
_LEAST_SHARE = 0.5


def for_images(dataset: Dataset, backbone: Backbone, cache_dir: Path) -> bytes:
    """Returns the backbone in int8, measured on a sample of the training images.

    The sample is drawn by hashes of names, so that adding images seldom changes much of it. In
    the folder of the cache, each network is kept beside a list of the images that it was
    measured on, and taken again where at least half of them are in the present sample.

    Args:
        dataset: the images.
        backbone: the network.
        cache_dir: where the network is kept.

    Raises:
        UserError: there are too few images that can be read, the network cannot be quantised, or
            the folder cannot be read or written.
    """
    contents = [_read(image) for image in _drawn(dataset)]
    digests = sorted({hashlib.sha256(data).hexdigest() for data in contents})
    for path in _fitting(cache_dir, backbone, digests):
        network = _kept(path)
        if network is not None:
            return network
    network = _quantised(contents, backbone)
    description = _description(backbone, digests)
    name = hashlib.sha256(description.encode()).hexdigest()[:16]
    path = cache_dir / f"{_prefix(backbone)}{name}.tflite"
    write_file(path, network)
    write_file(path.with_suffix(".json"), description)
    return network


def _drawn(dataset: Dataset) -> list[ImageFile]:
    def order(image: ImageFile) -> tuple[bytes, Path]:
        name = f"{dataset.folders[image.class_id]}/{image.path.name}"
        # In folders inside a class's, names may be the same.
        return hashlib.sha256(name.encode(errors="surrogateescape")).digest(), image.path

    return sorted(dataset.split(TRAINING), key=order)[:_IMAGES]


def _prefix(backbone: Backbone) -> str:
    return f"{backbone.name}_int8_"


def _description(backbone: Backbone, digests: Collection[str]) -> str:
    """Returns what a network was made of, as JSON; `digests` are SHA-256 of images."""
    content = {
        "backbone": backbone.fingerprint,
        "preprocessing": pixels.PREPROCESSING_VERSION,
        "pictures": list(digests),
    }
    return json.dumps(content, indent=2) + "\n"


def _fitting(cache_dir: Path, backbone: Backbone, digests: Collection[str]) -> list[Path]:
    """Returns the networks for the backbone that fit the images, the best first."""
    present = set(digests)
    found = []
    for path, measured_on in _described(cache_dir, backbone):
        common = len(measured_on & present)
        if measured_on and common >= _LEAST_SHARE * len(measured_on):
            found.append((-common, len(measured_on), path))
    return [path for _, _, path in sorted(found)]


def _described(cache_dir: Path, backbone: Backbone) -> Iterator[tuple[Path, set[str]]]:
    """Yields the networks for the backbone, and SHA-256 of the images of each."""
    for path in cache_dir.glob("*.json"):
        if not path.name.startswith(_prefix(backbone)):
            continue
        # One that is damaged is of no use; its network is made anew.
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            content = json.loads(path.read_text())
            made_of = content["backbone"], content["preprocessing"]
            if made_of == (backbone.fingerprint, pixels.PREPROCESSING_VERSION):
                yield path.with_suffix(".tflite"), set(content["pictures"])


def _kept(path: Path) -> bytes | None:
    """Returns the network in the file; None where there is none, or none that runs."""
    try:
        network = path.read_bytes()
        LiteRTModel(network)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; remove it") from error
    except LiteRTError as error:
        logging.warning("%s is damaged (%s) and made anew.", path, error)
        return None
    return network


def _read(image: ImageFile) -> bytes:
    """Returns the content of the file; nothing where it cannot be read, as of an empty file."""
    try:
        return image.path.read_bytes()
    except OSError:
        return b""


def _quantised(contents: list[bytes], backbone: Backbone) -> bytes:
    images = []
    for data in contents:
        with contextlib.suppress(pixels.UnreadableImageError):
            images.append(pixels.decode(data, backbone.height, backbone.width))
    if len(images) < _FEWEST_IMAGES:
        raise UserError(
            f"int8 needs {_FEWEST_IMAGES} training images that can be read to measure the "
            f"network on, but there are {len(images)}; choose another --engine and another "
            "--tflite_quantization"
        )
    logging.info("Quantising %s to int8, measured on %d images.", backbone.name, len(images))
    order = slice(None, None, -1 if backbone.channel_order == "BGR" else 1)
    normalised = (pixels.normalise(p[..., order], backbone.mean, backbone.std) for p in images)
    try:
        return quantise.to_int8(backbone.read_tflite(), normalised)
    except quantise.QuantisationError as error:
        raise UserError(
            f"int8 is not possible with --architecture={backbone.name} ({error}); choose another "
            "--engine and another --tflite_quantization"
        ) from error

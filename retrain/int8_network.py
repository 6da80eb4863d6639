"""The int8 network of a run: quantised once for the pictures that it learns from, then kept."""

import contextlib
import hashlib
import logging
from pathlib import Path

from retrain import pixels
from retrain.backbones import engines, quantise
from retrain.backbones.spec import Backbone
from retrain.errors import UserError
from retrain.images import Dataset, Picture
from retrain.litert import LiteRTError, LiteRTModel
from retrain.runtime import write_file
from retrain.splits import TRAINING

# More did not change what features are worth.
_PICTURES = 100
_FEWEST_PICTURES = 20


def for_pictures(dataset: Dataset, backbone: Backbone, seed: int, cache_dir: Path) -> bytes:
    """Returns the backbone in int8, measured on a sample of the training pictures.

    The sample is drawn by hashes of names, so that adding pictures to a large folder seldom
    changes it. The network is kept in the folder of the cache, under a name made from all that
    decides it.

    Args:
        dataset: the pictures.
        backbone: the network.
        seed: of the draw.
        cache_dir: where the network is kept.

    Raises:
        UserError: there are too few pictures that can be read, the network cannot be quantised, or
            the folder cannot be read or written.
    """
    contents = [_read(picture) for picture in _drawn(dataset, seed)]
    decisive = [backbone.fingerprint.encode(), str(pixels.PREPROCESSING_VERSION).encode()]
    decisive += [hashlib.sha256(data).digest() for data in contents]
    name = hashlib.sha256(b"".join(decisive)).hexdigest()[:16]
    path = cache_dir / f"{backbone.name}_int8_{name}.tflite"
    network = _kept(path)
    if network is None:
        network = _quantised(contents, backbone)
        write_file(path, network)
    return network


def _drawn(dataset: Dataset, seed: int) -> list[Picture]:
    def order(picture: Picture) -> tuple[bytes, Path]:
        name = f"{seed} {dataset.folders[picture.category]}/{picture.path.name}"
        # In folders inside a category's, names may be the same.
        return hashlib.sha256(name.encode(errors="surrogateescape")).digest(), picture.path

    return sorted(dataset.split(TRAINING), key=order)[:_PICTURES]


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


def _read(picture: Picture) -> bytes:
    """Returns the content of the file; nothing where it cannot be read, as of an empty file."""
    try:
        return picture.path.read_bytes()
    except OSError:
        return b""


def _quantised(contents: list[bytes], backbone: Backbone) -> bytes:
    pictures = []
    for data in contents:
        with contextlib.suppress(pixels.UnreadablePictureError):
            pictures.append(pixels.decode(data, backbone.height, backbone.width))
    if len(pictures) < _FEWEST_PICTURES:
        raise UserError(
            f"--engine=int8 needs {_FEWEST_PICTURES} training pictures that can be read to measure "
            f"the network on, but there are {len(pictures)}; choose --engine=float32"
        )
    logging.info("Quantising %s to int8, measured on %d pictures.", backbone.name, len(pictures))
    order = slice(None, None, -1 if backbone.channel_order == "BGR" else 1)
    normalised = (pixels.normalise(p[..., order], backbone.mean, backbone.std) for p in pictures)
    try:
        return quantise.to_int8(backbone.flatbuffer_file.read_bytes(), normalised)
    except quantise.QuantiseError as error:
        raise UserError(
            f"--engine=int8 cannot run {backbone.name} ({error}); choose one of: "
            f"{', '.join(n for n in engines.NAMES if n != engines.INT8)}"
        ) from error

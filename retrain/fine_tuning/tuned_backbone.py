"""A backbone that has learned from the training pictures itself: made once, and kept."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from retrain.backbones import keras_files, prepared
from retrain.backbones.spec import Backbone
from retrain.bottlenecks.store import FileState, open_store
from retrain.config import TrainingConfig
from retrain.data import pixels
from retrain.data.dataset import Dataset, Picture
from retrain.data.splits import TRAINING, VALIDATION
from retrain.errors import UserError
from retrain.fine_tuning import fit, layers
from retrain.fine_tuning.fit import Lessons
from retrain.fine_tuning.variants import Pictures
from retrain.system.console import quiet_libraries, quiet_native_libraries
from retrain.training import class_weights
from retrain.training.history import Course, from_json
from retrain.training.results import Trained

# To be raised when the same options give another network.
_VERSION = 3

_COURSE = "course.json"
_UNFINISHED = "fine_tuning"


def tuned(config: TrainingConfig, backbone: Backbone, trained: Trained) -> tuple[Backbone, Course]:
    """Returns what `backbone` becomes when it learns from the training pictures, and how that went.

    It is kept in the folder of the cache, and taken from there when all is the same that it is made
    from, wherever the pictures lie then. One that was stopped goes on after its last epoch. Made
    anew from the same, it may be a little different, as threads add numbers in any order; so its
    fingerprint is that of what it became.

    Args:
        config: of the run.
        backbone: with a network of Keras's layers.
        trained: with features of `backbone`.

    Raises:
        UserError: it has fewer layers than are to learn, a picture cannot be read any more, or the
            cache cannot be written.
    """
    options, seed = config.fine_tuning, config.head.seed
    dataset, head = trained.features.dataset, trained.head
    pictures, watched = dataset.split(TRAINING), dataset.split(VALIDATION)
    categories = np.array([picture.category for picture in pictures], np.int64)
    importance = _importance(config, dataset, categories)
    decisive = {
        "version": _VERSION,
        "backbone": backbone.fingerprint,
        "preprocessing": pixels.PREPROCESSING_VERSION,
        "pictures": _digest(b"".join(_digests(pictures, config.bottleneck_dir))),
        "categories": _digest(categories),
        # They decide nothing of the network, but what is said of its epochs.
        "validation": _digest(b"".join(_digests(watched, config.bottleneck_dir))),
        "validation_categories": [picture.category for picture in watched],
        "importance": _digest(importance),
        "head": _digest(np.vstack([head.weights, head.bias])),
        "options": config.used()["fine_tuning"],
        "seed": seed,
    }
    made_from = _digest(json.dumps(decisive, sort_keys=True).encode())
    description = prepared.Description(
        backbone.name,
        made_from,
        backbone.height,
        backbone.width,
        backbone.mean,
        backbone.std,
        backbone.channel_order,
        backbone.feature_width,
        fine_tuned=True,
    )

    # Processes that make the same wait for one another, so that it is in use by one alone.
    checkpoint = config.bottleneck_dir / _UNFINISHED / f"{made_from}.npz"

    def make(folder: Path) -> prepared.Description:
        size = backbone.height, backbone.width
        shown = Pictures(pictures, *size, config.fine_tuning_distortions)
        with quiet_native_libraries():
            network = layers.load(backbone, options.layers, seed)
            course = fit.learn(
                network,
                head,
                backbone,
                Lessons(shown, categories, importance, watched),
                options,
                seed,
                checkpoint,
            )
        with quiet_libraries():
            keras_files.write(network, description, folder)
        (folder / _COURSE).write_text(course.to_json())
        fingerprint = _digest((folder / prepared.GRAPH).read_bytes())
        return dataclasses.replace(description, fingerprint=fingerprint)

    name = f"{backbone.name}_fine_tuned"
    made = prepared.backbone(config.bottleneck_dir, name, made_from, make)
    checkpoint.unlink(missing_ok=True)
    return made, from_json((made.graph_file.parent / _COURSE).read_text())


def _digests(pictures: Sequence[Picture], cache_dir: Path) -> list[bytes]:
    """Returns the SHA-256 of each file, which is read only where it is not known."""
    try:
        states = [FileState.from_stat(picture.path.stat()) for picture in pictures]
        with open_store(cache_dir) as store:
            known = store.digests(states)
        return [
            digest or hashlib.sha256(picture.path.read_bytes()).digest()
            for picture, digest in zip(pictures, known, strict=True)
        ]
    except OSError as error:
        which = error.filename or "a training picture"
        raise UserError(f"{which} cannot be read any more: {error.strerror}") from error


def _importance(config: TrainingConfig, dataset: Dataset, categories: np.ndarray) -> np.ndarray:
    """Returns how much each picture counts, float32 [N], on average 1."""
    counts = np.bincount(categories, minlength=len(dataset.labels))
    wanted = str(config.used()["class_weights"])
    shares = class_weights.shares(wanted, dataset.labels, counts, dataset.folders)
    return (shares * len(categories) / counts)[categories].astype(np.float32)


def _digest(content: bytes | np.ndarray) -> str:
    data = content if isinstance(content, bytes) else content.tobytes()
    return hashlib.sha256(data).hexdigest()

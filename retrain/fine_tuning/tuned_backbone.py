"""A backbone that has learned from the training images itself: made once, and kept."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from retrain.backbones import backbone_cache, backbone_files
from retrain.backbones.backbone import Backbone
from retrain.bottlenecks.store import FileState, open_store
from retrain.config import TrainingConfig
from retrain.data import pixels
from retrain.data.dataset import Dataset, ImageFile
from retrain.data.splits import TRAINING, VALIDATION
from retrain.errors import UserError
from retrain.fine_tuning import fit, layers
from retrain.fine_tuning.fit import Lessons
from retrain.fine_tuning.variants import Images
from retrain.system.console import quiet_libraries, quiet_native_libraries
from retrain.training import class_weights
from retrain.training.history import TrainingHistory, from_json
from retrain.training.results import Trained

# To be raised when the same options give another network.
_VERSION = 3

_COURSE = "course.json"
_UNFINISHED = "fine_tuning"


def tuned(
    config: TrainingConfig, backbone: Backbone, trained: Trained
) -> tuple[Backbone, TrainingHistory]:
    """Returns what `backbone` becomes when it learns from the training images, and how that went.

    It is kept in the folder of the cache, and taken from there when all is the same that it is made
    from, wherever the images lie then. One that was stopped goes on after its last epoch. Made
    anew from the same, it may be a little different, as threads add numbers in any order; so its
    fingerprint is that of what it became.

    Args:
        config: of the run.
        backbone: with a network of Keras's layers.
        trained: with features of `backbone`.

    Raises:
        UserError: it has fewer layers than are to learn, an image cannot be read any more, or the
            cache cannot be written.
    """
    options, seed = config.fine_tuning, config.head.seed
    dataset, head = trained.features.dataset, trained.head
    images, watched = dataset.split(TRAINING), dataset.split(VALIDATION)
    class_ids = np.array([image.class_id for image in images], np.int64)
    importance = _importance(config, dataset, class_ids)
    decisive = {
        "version": _VERSION,
        "backbone": backbone.fingerprint,
        "preprocessing": pixels.PREPROCESSING_VERSION,
        "pictures": _digest(b"".join(_digests(images, config.bottleneck_dir))),
        "categories": _digest(class_ids),
        # They decide nothing of the network, but what is said of its epochs.
        "validation": _digest(b"".join(_digests(watched, config.bottleneck_dir))),
        "validation_categories": [image.class_id for image in watched],
        "importance": _digest(importance),
        "head": _digest(np.vstack([head.weights, head.bias])),
        "options": config.used()["fine_tuning"],
        "seed": seed,
    }
    made_from = _digest(json.dumps(decisive, sort_keys=True).encode())
    description = backbone_cache.BackboneInfo(
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

    def make(folder: Path) -> backbone_cache.BackboneInfo:
        size = backbone.height, backbone.width
        shown = Images(images, *size, config.fine_tuning_distortions)
        with quiet_native_libraries():
            network = layers.load(backbone, options.layers, seed)
            history = fit.learn(
                network,
                head,
                backbone,
                Lessons(shown, class_ids, importance, watched),
                options,
                seed,
                checkpoint,
            )
        with quiet_libraries():
            backbone_files.write_keras(network, description, folder)
        (folder / _COURSE).write_text(history.to_json())
        fingerprint = _digest((folder / backbone_cache.GRAPH_FILE).read_bytes())
        return dataclasses.replace(description, fingerprint=fingerprint)

    name = f"{backbone.name}_fine_tuned"
    made = backbone_cache.load_or_prepare(config.bottleneck_dir, name, made_from, make)
    checkpoint.unlink(missing_ok=True)
    return made, from_json((made.graph_file.parent / _COURSE).read_text())


def _digests(images: Sequence[ImageFile], cache_dir: Path) -> list[bytes]:
    """Returns the SHA-256 of each file, which is read only where it is not known."""
    try:
        states = [FileState.from_stat(image.path.stat()) for image in images]
        with open_store(cache_dir) as store:
            known = store.digests(states)
        return [
            digest or hashlib.sha256(image.path.read_bytes()).digest()
            for image, digest in zip(images, known, strict=True)
        ]
    except OSError as error:
        which = error.filename or "a training image"
        raise UserError(f"{which} cannot be read any more: {error.strerror}") from error


def _importance(config: TrainingConfig, dataset: Dataset, class_ids: np.ndarray) -> np.ndarray:
    """Returns how much each image counts, float32 [N], on average 1."""
    counts = np.bincount(class_ids, minlength=len(dataset.labels))
    wanted = str(config.used()["class_weights"])
    shares = class_weights.shares(wanted, dataset.labels, counts, dataset.folders)
    return (shares * len(class_ids) / counts)[class_ids].astype(np.float32)


def _digest(content: bytes | np.ndarray) -> str:
    data = content if isinstance(content, bytes) else content.tobytes()
    return hashlib.sha256(data).hexdigest()

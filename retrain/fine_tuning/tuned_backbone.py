"""Fine-tunes a backbone on the training images, and keeps the result in the cache."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from retrain.backbones import backbone_cache, backbone_files, engines
from retrain.backbones.backbone import Backbone, BackboneInfo
from retrain.bottlenecks.file_version import FileVersion
from retrain.bottlenecks.store import open_store
from retrain.config import TrainingConfig
from retrain.data import image_reader, pixels
from retrain.data.dataset import Dataset, ImageFile
from retrain.data.splits import TRAINING, VALIDATION
from retrain.errors import UserError
from retrain.fine_tuning import fit, layers
from retrain.fine_tuning.fit import TuningData
from retrain.fine_tuning.variants import VariantSource
from retrain.metadata import STRETCH
from retrain.system.program.console import quiet_libraries, quiet_native_libraries
from retrain.training import class_weights
from retrain.training.history import TrainingHistory
from retrain.training.results import HeadResult

# Increase this whenever the same options lead to a different network.
_VERSION = 3

_HISTORY_FILE = "course.json"
_CHECKPOINT_FOLDER = "fine_tuning"


def fine_tune_backbone(
    config: TrainingConfig, backbone: Backbone, pretrained: HeadResult
) -> tuple[Backbone, TrainingHistory]:
    """Returns the fine-tuned backbone, and the metrics of its training by epochs.

    The result is kept in the cache, and reused if it would be computed from the same data with the
    same options, wherever the images are stored. An interrupted training continues after its last
    epoch. Threads add numbers in any order, so a second computation can differ slightly; the
    fingerprint is therefore that of the resulting network.

    Args:
        config: Configuration of the run.
        backbone: The pretrained backbone, made of Keras layers.
        pretrained: The head on its features, which fine-tuning starts from.

    Raises:
        UserError: If the backbone has too few layers, an image cannot be read, or the cache cannot
            be written.
    """
    dataset, head = pretrained.features.dataset, pretrained.head
    class_ids = pretrained.features.split(TRAINING).class_ids
    sample_weights = _compute_sample_weights(config, dataset, class_ids)
    digest = _digest_inputs(config, backbone, pretrained, sample_weights=sample_weights)
    info = BackboneInfo(
        backbone.name,
        digest,
        backbone.height,
        backbone.width,
        backbone.mean,
        backbone.std,
        backbone.channel_order,
        backbone.feature_width,
        fine_tuned=True,
        stage_widths=backbone.stage_widths,
    )
    # Only one process at a time prepares this backbone, so no other one uses the checkpoint.
    checkpoint_file = config.bottleneck_dir / _CHECKPOINT_FOLDER / f"{digest}.npz"

    def prepare(folder: Path) -> BackboneInfo:
        source = VariantSource(
            dataset.split(TRAINING),
            backbone.height,
            backbone.width,
            config.fine_tuning_distortions,
            fit=backbone.fit,
        )
        with quiet_native_libraries():
            network = layers.load_trainable(
                backbone, config.fine_tuning.layers, seed=config.head.seed
            )
            history = fit.fine_tune(
                network,
                head,
                backbone,
                TuningData(source, class_ids, sample_weights, dataset.split(VALIDATION)),
                options=config.fine_tuning,
                seed=config.head.seed,
                checkpoint_file=checkpoint_file,
                bfloat16=engines.resolve(config.engine) == engines.BFLOAT16,
            )
        with quiet_libraries():
            backbone_files.write_keras(network, info, folder)
        (folder / _HISTORY_FILE).write_text(history.to_json())
        fingerprint = _digest((folder / backbone_cache.GRAPH_FILE).read_bytes())
        return dataclasses.replace(info, fingerprint=fingerprint)

    name = f"{backbone.name}_fine_tuned"
    tuned = backbone_cache.load_or_prepare(config.bottleneck_dir, name, digest, prepare)
    tuned = dataclasses.replace(tuned, fit=backbone.fit)
    checkpoint_file.unlink(missing_ok=True)
    history_file = tuned.graph_file.parent / _HISTORY_FILE
    return tuned, TrainingHistory.from_json(history_file.read_text())


def _digest_inputs(
    config: TrainingConfig,
    backbone: Backbone,
    pretrained: HeadResult,
    *,
    sample_weights: np.ndarray,
) -> str:
    """Returns a digest of everything that decides the fine-tuned network and its metrics."""
    features, head = pretrained.features, pretrained.head
    training, validation = features.split(TRAINING), features.split(VALIDATION)
    # These keys must not change: a cached backbone is found by the digest of this JSON text.
    inputs = {
        "version": _VERSION,
        "backbone": backbone.fingerprint,
        "preprocessing": pixels.PREPROCESSING_VERSION,
        "pictures": _digest(b"".join(_file_digests(training.images, config.bottleneck_dir))),
        "categories": _digest(training.class_ids),
        # The validation images affect the number of epochs, or the metrics only.
        "validation": _digest(b"".join(_file_digests(validation.images, config.bottleneck_dir))),
        "validation_categories": validation.class_ids.tolist(),
        "importance": _digest(sample_weights),
        "head": _digest(np.vstack([head.weights, head.bias])),
        "options": config.provenance()["fine_tuning"],
        "seed": config.head.seed,
    }
    if backbone.fit != STRETCH:
        # Earlier versions always stretched images, and did not have this key.
        inputs["fit"] = backbone.fit
    return _digest(json.dumps(inputs, sort_keys=True).encode())


def _file_digests(images: Sequence[ImageFile], cache_dir: Path) -> list[bytes]:
    """Returns the SHA-256 of each file. Only files whose digest is not in the cache are read."""
    try:
        versions = [FileVersion.from_stat(image.path.stat()) for image in images]
        with open_store(cache_dir) as store:
            cached = store.get_digests(versions)
        return [
            digest or hashlib.sha256(image_reader.read(image.path)).digest()
            for image, digest in zip(images, cached, strict=True)
        ]
    except OSError as error:
        name = error.filename or "a training image"
        raise UserError(f"{name} can no longer be read: {error.strerror}") from error


def _compute_sample_weights(
    config: TrainingConfig, dataset: Dataset, class_ids: np.ndarray
) -> np.ndarray:
    """Returns the weight of each training image in the loss, float32 [N] with mean 1."""
    counts = np.bincount(class_ids, minlength=len(dataset.labels))
    shares = class_weights.compute_shares(
        config.head.effective_class_weights, dataset.labels, counts, folders=dataset.folders
    )
    return (shares * len(class_ids) / counts)[class_ids].astype(np.float32)


def _digest(content: bytes | np.ndarray) -> str:
    data = content if isinstance(content, bytes) else content.tobytes()
    return hashlib.sha256(data).hexdigest()

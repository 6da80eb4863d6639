"""Builds the model and loads the data of a training."""

import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from retrain.backbones import engines, registry
from retrain.backbones.backbone import Backbone
from retrain.bottlenecks.compute import compute_bottlenecks
from retrain.config import BackboneOptions
from retrain.data.splits import TRAINING, VALIDATION
from retrain.errors import UserError
from tools.keras_training import checks, image_folders, npz_file, pretrained, small_networks
from tools.keras_training.examples import Examples, TrainingData
from tools.keras_training.image_folders import ImageFolders
from tools.keras_training.image_shape import ImageShape
from tools.keras_training.options import Options
from tools.keras_training.small_networks import SMALL_NETWORKS

_BATCH_SIZE_FROM_SCRATCH, _BATCH_SIZE_PRETRAINED = 128, 32


@dataclass(frozen=True)
class Task:
    """The model and the data of a training.

    Attributes:
        data: Training and validation examples.
        model: Keras model to compile and fit, from the inputs in `data` to probabilities.
        classifier: Keras model to save, from pixels to probabilities. It shares all trained layers
            with `model`, but is never compiled, so that saved files have no optimizer state.
        image_shape: Shape of the classifier's input images.
        batch_size: Examples per batch.
        backbone: The pretrained network; None for training from scratch.
    """

    data: TrainingData
    model: Any
    classifier: Any
    image_shape: ImageShape
    batch_size: int
    backbone: Backbone | None = None


def scan_folders(options: Options) -> ImageFolders | None:
    """Lists the image files without reading them. Returns None for a file of arrays.

    Raises:
        UserError: If the folders cannot be used.
    """
    if checks.is_npz_file(options):
        return None
    assert options.val_dir is not None
    return image_folders.scan(options.train_dir, options.val_dir)


def load(options: Options, folders: ImageFolders | None) -> Task:
    """Builds the model, and decodes all images or computes their bottlenecks.

    Args:
        options: Options that passed `checks.check`.
        folders: Result of `scan_folders`.

    Raises:
        UserError: If the options, the images or the weights cannot be used.
    """
    if checks.is_from_scratch(options):
        return _load_from_scratch(options, folders)
    backbone = registry.resolve(
        BackboneOptions(
            architecture=options.architecture,
            weights=options.weights,
            fit=options.fit,
            uses_stages=False,
        ),
        options.bottleneck_dir,
    )
    for side in ("height", "width"):
        value, expected = getattr(options, side), getattr(backbone, side)
        if value not in (None, expected):
            raise UserError(
                f"--{side}={value} does not fit --architecture={backbone.name}, which needs images "
                f"of {backbone.height} x {backbone.width} pixels; leave it out"
            )
    if checks.uses_bottlenecks(options):
        return _load_bottlenecks(options, folders, backbone)
    return _load_pixels(options, folders, backbone)


class _ImageSource(NamedTuple):
    """Where the images come from.

    Attributes:
        classes: Number of classes.
        is_grey: Whether all images are known to be grey.
        load: Returns the images as examples of a shape.
    """

    classes: int
    is_grey: bool
    load: Callable[[ImageShape], TrainingData]


def _open_source(options: Options, folders: ImageFolders | None) -> _ImageSource:
    if folders is not None:
        classes = len(folders.dataset.labels)
        load_folders = functools.partial(image_folders.load, folders, fit=options.fit)
        return _ImageSource(classes, is_grey=False, load=load_folders)
    arrays = npz_file.read(options.train_dir)
    return _ImageSource(
        npz_file.count_classes(arrays),
        is_grey=npz_file.is_grey(arrays),
        load=functools.partial(npz_file.load, arrays, fit=options.fit),
    )


def _load_from_scratch(options: Options, folders: ImageFolders | None) -> Task:
    source = _open_source(options, folders)
    channels = 1 if options.greyscale or source.is_grey else 3
    shape = ImageShape(*checks.input_size(options), channels)
    classifier = small_networks.build(
        options.architecture, shape, source.classes, dropout=options.dropout
    )
    return Task(
        data=source.load(shape),
        model=_share_layers(classifier),
        classifier=classifier,
        image_shape=shape,
        batch_size=options.batch_size or _BATCH_SIZE_FROM_SCRATCH,
    )


def _load_pixels(options: Options, folders: ImageFolders | None, backbone: Backbone) -> Task:
    source = _open_source(options, folders)
    shape = ImageShape(backbone.height, backbone.width, 3)
    # This fails if the network has too few layers, so it comes before the slow decoding.
    models = _build_pretrained(options, backbone, source.classes)
    return Task(
        data=source.load(shape),
        model=_share_layers(models.classifier),
        classifier=models.classifier,
        image_shape=shape,
        batch_size=options.batch_size or _BATCH_SIZE_PRETRAINED,
        backbone=backbone,
    )


def _load_bottlenecks(options: Options, folders: ImageFolders | None, backbone: Backbone) -> Task:
    if folders is None:
        raise UserError(
            f"--train_dir={options.train_dir} is a file of arrays, but bottlenecks need folders of "
            f"images; choose --architecture={' or '.join(SMALL_NETWORKS)}, or set "
            "--fine_tune_layers"
        )
    engines.check(options.engine, backbone)
    shape = ImageShape(backbone.height, backbone.width, 3)
    features = compute_bottlenecks(
        folders.dataset, backbone, options.engine, options.bottleneck_dir
    )
    logging.info("%s", features.summary())
    train, validation = features.split(TRAINING), features.split(VALIDATION)
    data = TrainingData(
        labels=folders.dataset.labels,
        folders=folders.dataset.folders,
        train=Examples(train.vectors, train.class_ids),
        validation=Examples(validation.vectors, validation.class_ids),
        preview=image_folders.decode_preview(train.images, shape, fit=options.fit),
    )
    models = _build_pretrained(options, backbone, len(data.labels))
    return Task(
        data=data,
        model=models.head,
        classifier=models.classifier,
        image_shape=shape,
        batch_size=options.batch_size or _BATCH_SIZE_PRETRAINED,
        backbone=backbone,
    )


def _build_pretrained(
    options: Options, backbone: Backbone, classes: int
) -> pretrained.PretrainedModels:
    return pretrained.build(
        backbone, classes, dropout=options.dropout, fine_tune_layers=options.fine_tune_layers
    )


def _share_layers(classifier: Any) -> Any:
    """Returns a model with the same layers, which can be compiled on its own."""
    from tensorflow import keras

    return keras.Model(classifier.inputs, classifier.outputs)

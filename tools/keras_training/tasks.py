"""What to train, and on what: pixels or bottlenecks, a small network or a pretrained one."""

import dataclasses
import functools
import logging
from collections.abc import Callable
from typing import Any

import numpy as np

from retrain.backbones import engines, keras_applications, registry
from retrain.backbones.backbone import Backbone
from retrain.bottlenecks.compute import compute_bottlenecks
from retrain.config import BackboneOptions
from retrain.data.dataset import Dataset
from retrain.data.dataset import ImageFile as DatasetImage
from retrain.data.splits import TRAINING, VALIDATION, Shares
from retrain.errors import UserError
from tools.keras_training import arrays, image_folders, networks, pretrained
from tools.keras_training.examples import Data, Examples
from tools.keras_training.image_folders import TRAIN, VAL, Found, Shape
from tools.keras_training.options import SGD, Options

_ENGINES = [name for name in engines.NAMES if name != engines.INT8]

_BATCH_SIZE_FROM_SCRATCH, _BATCH_SIZE_PRETRAINED = 128, 32

# An image that is not to be moved to another part.
_IN_TRAINING = 50.0


@dataclasses.dataclass(frozen=True)
class Task:
    """What to train, and on what.

    Attributes:
        data: to learn from.
        learner: a Keras model from the inputs in `data` to probabilities.
        classifier: a model that shares the layers that learn, from pixels as they are. It is never
            compiled: files of it have nothing of the training.
        shape: of the images that the classifier takes.
        batch_size: examples in a step.
        backbone: the pretrained network, if any.
    """

    data: Data
    learner: Any
    classifier: Any
    shape: Shape
    batch_size: int
    backbone: Backbone | None = None


def check(options: Options) -> None:
    """Raises UserError where options contradict one another, before anything takes time."""
    if not _is_known(options.architecture):
        named = f"={options.architecture} is not known" if options.architecture else " is needed"
        known = ", ".join((*networks.NETWORKS, *registry.architecture_names()))
        raise UserError(f"--architecture{named}; choose one of: {known}")
    _check_places(options)
    _check_engine(options)
    if options.momentum is not None and options.optimizer != SGD:
        raise UserError(
            f"--momentum={options.momentum:g} is for --optimizer={SGD}; leave it out, or give that"
        )
    if options.architecture in networks.NETWORKS:
        networks.check_size(options.architecture, *_size(options))
        _check_from_scratch(options)
    elif options.greyscale:
        raise UserError(
            f"--greyscale is for {' and '.join(networks.NETWORKS)}; "
            f"--architecture={options.architecture} knows colours, leave one out"
        )


def _check_engine(options: Options) -> None:
    if engines.chosen(options.engine) == engines.INT8:
        raise UserError(
            f"--engine={engines.INT8} would teach a layer for other features than those of the "
            f"network that is written; choose one of: {', '.join(_ENGINES)}"
        )
    if not _needs_bottlenecks(options) and options.engine != engines.AUTO:
        raise UserError(
            f"--engine={options.engine} is for bottlenecks, which a training from pixels does not "
            "have; leave it out"
        )
    if _needs_bottlenecks(options) and options.mixed_precision:
        raise UserError(
            "--mixed_precision is for convolutions, which do not learn here; leave it out, or give "
            "--fine_tune_layers"
        )


def _needs_bottlenecks(options: Options) -> bool:
    pretrained = options.architecture not in networks.NETWORKS
    return pretrained and not options.augmentation.any and not options.fine_tune_layers


def _check_places(options: Options) -> None:
    if not options.train_dir.exists():
        raise UserError(
            f"--train_dir={options.train_dir} does not exist; name a folder with a sub-folder of "
            "images for each class, or an .npz file"
        )
    for flag in (TRAIN, VAL):
        folder = getattr(options, flag)
        if folder and folder in (options.output_dir, *options.output_dir.parents):
            raise UserError(
                f"--output_dir={options.output_dir} lies in --{flag}={folder}, where its plots "
                "would be taken for images to learn from; name a folder elsewhere"
            )
    if _is_file(options) and options.val_dir:
        raise UserError(
            f"--val_dir={options.val_dir} does not go with --train_dir={options.train_dir}, which "
            "has its own part for it; leave it out"
        )
    if not _is_file(options) and options.val_dir is None:
        raise UserError(
            "--val_dir is needed: a folder with the same sub-folders as --train_dir, whose "
            "images are not learned from"
        )


def _check_from_scratch(options: Options) -> None:
    for name in ("weights", "fine_tune_layers"):
        if getattr(options, name):
            raise UserError(
                f"--{name}={getattr(options, name)} is for pretrained networks, "
                f"--architecture={options.architecture} begins with none; choose one of: "
                f"{', '.join(registry.architecture_names())}"
            )


def _size(options: Options) -> tuple[int, int]:
    return options.height or networks.USUAL_SIDE, options.width or networks.USUAL_SIDE


def find(options: Options) -> Found | None:
    """Returns what images there are, by their names alone; None for a file of arrays.

    Raises:
        UserError: there are none to learn from.
    """
    if _is_file(options):
        return None
    assert options.val_dir is not None
    return image_folders.find(options.train_dir, options.val_dir)


def make(options: Options, found: Found | None) -> Task:
    """Returns the task, with all images decoded or turned into bottlenecks.

    Args:
        options: that were checked.
        found: from `find`.

    Raises:
        UserError: the user must change something.
    """
    if options.architecture in networks.NETWORKS:
        return _from_scratch(options, found)
    chosen = BackboneOptions(architecture=options.architecture, weights=options.weights)
    backbone = registry.resolve(chosen, options.bottleneck_dir)
    for side in ("height", "width"):
        given, wanted = getattr(options, side), getattr(backbone, side)
        if given not in (None, wanted):
            raise UserError(
                f"--{side}={given} does not fit --architecture={backbone.name}, which takes "
                f"images of {backbone.height} x {backbone.width} pixels; leave it out"
            )
    make_on = _on_bottlenecks if _needs_bottlenecks(options) else _on_pixels
    return make_on(options, found, backbone)


def _from_scratch(options: Options, found: Found | None) -> Task:
    height, width = _size(options)
    if found is None:
        of_file = arrays.read(options.train_dir)
        grey = options.greyscale or arrays.is_grey(of_file)
        shape = Shape(height, width, 1 if grey else 3)
        labels = len(np.unique(of_file["y_train"]))
        model = _small(options, shape, labels)
        data = arrays.load(of_file, shape)
    else:
        shape = Shape(height, width, 1 if options.greyscale else 3)
        model = _small(options, shape, len(found.labels))
        data = image_folders.load(found, shape)
    size = options.batch_size or _BATCH_SIZE_FROM_SCRATCH
    return Task(data, _learner(model), model, shape, size)


def _small(options: Options, shape: Shape, classes: int) -> Any:
    return networks.build(options.architecture, *shape, classes, options.dropout)


def _learner(classifier: Any) -> Any:
    from tensorflow import keras

    return keras.Model(classifier.inputs, classifier.outputs)


def _on_pixels(options: Options, found: Found | None, backbone: Backbone) -> Task:
    shape = Shape(backbone.height, backbone.width, 3)
    load: Callable[[], Data]
    if found is None:
        of_file = arrays.read(options.train_dir)
        classes = len(np.unique(of_file["y_train"]))
        load = functools.partial(arrays.load, of_file, shape)
    else:
        classes = len(found.labels)
        load = functools.partial(image_folders.load, found, shape)
    # Before the images, for which somebody would have waited in vain.
    joined = pretrained.join(backbone, classes, options.dropout, options.fine_tune_layers)
    size = options.batch_size or _BATCH_SIZE_PRETRAINED
    return Task(load(), _learner(joined.classifier), joined.classifier, shape, size, backbone)


def _on_bottlenecks(options: Options, found: Found | None, backbone: Backbone) -> Task:
    if found is None:
        raise UserError(
            f"--train_dir={options.train_dir}: bottlenecks need images in folders; choose "
            f"--architecture={' or '.join(networks.NETWORKS)}, or --fine_tune_layers"
        )
    engines.check(options.engine, backbone)
    shape = Shape(backbone.height, backbone.width, 3)
    features = compute_bottlenecks(
        _dataset(options, found), backbone, options.engine, options.bottleneck_dir
    )
    logging.info("%s", features.summary())
    train, validation = (
        Examples(features.part(split).vectors, features.part(split).class_ids)
        for split in (TRAINING, VALIDATION)
    )
    readable = [image.path for image in features.part(TRAINING).images]
    shown = image_folders.show(readable, features.part(TRAINING).class_ids, shape)
    data = Data(found.labels, found.folders, train, validation, shown)
    joined = pretrained.join(backbone, len(data.labels), options.dropout, 0)
    size = options.batch_size or _BATCH_SIZE_PRETRAINED
    return Task(data, joined.head, joined.classifier, shape, size, backbone)


def _dataset(options: Options, found: Found) -> Dataset:
    places = {TRAIN: (TRAINING, _IN_TRAINING), VAL: (VALIDATION, None)}
    listed = [
        DatasetImage(image.path, image.class_id, *places[flag])
        for flag, of_part in found.images.items()
        for image in of_part
    ]
    listed.sort(key=lambda image: image.class_id)
    return Dataset(
        options.train_dir,
        found.labels,
        found.folders,
        tuple(listed),
        Shares(0, 0),
        flag="train_dir",
    )


def _is_file(options: Options) -> bool:
    return options.train_dir.suffix == arrays.SUFFIX and not options.train_dir.is_dir()


def _is_known(architecture: str) -> bool:
    known = (*networks.NETWORKS, *registry.bundled_names())
    return architecture in known or keras_applications.is_known(architecture)

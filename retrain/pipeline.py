"""A training run from folders of pictures to a classifier, straight down."""

import dataclasses
import logging
from collections.abc import Sequence

import numpy as np

from retrain import bottlenecks, evaluation, head, images, outputs, pixels, report, summaries
from retrain.backbones import engines, registry
from retrain.backbones.spec import Backbone
from retrain.bottlenecks import Bottlenecks
from retrain.clock import Clock
from retrain.config import TrainingConfig
from retrain.evaluation import Evaluation
from retrain.export.assemble import Classifier
from retrain.export.metadata import Metadata
from retrain.graph_session import tensorflow_session
from retrain.head import Head
from retrain.images import Picture
from retrain.outputs import Written
from retrain.runtime import load_in_background, write_file
from retrain.splits import TEST, TRAINING, VALIDATION

# As many lines as the progress of the training takes.
_PROGRESS_LINES = 10
# How many pictures the exported files must decode and label as the trained classifier does.
_PICTURES_CHECKED = 10


def run(config: TrainingConfig) -> None:
    """Trains a classifier, tests it, and writes what the config asks for.

    Raises:
        UserError: the user must change something; nothing was written over then.
    """
    clock = Clock()
    outputs.check(config.output)
    backbone = registry.load(config.architecture)
    with clock.phase("scan"):
        dataset = images.scan(config.image_dir, config.split)
    logging.info("%s", report.dataset_line(dataset))
    # The export needs it, and it takes a second to load; the features are computed without it.
    load_in_background(tensorflow_session)
    with clock.phase("bottlenecks"):
        features = bottlenecks.compute(
            dataset, backbone, config.engine, config.bottleneck_dir, config.strict
        )
    with clock.phase("training"):
        trained = _train_head(config, backbone, features)
    with clock.phase("evaluation"):
        evaluations = _evaluate(config, trained, features)
    classifier = _assemble(config, backbone, trained, features, evaluations[TEST])
    with clock.phase("export"):
        written = _write_classifier(config, classifier, features)
    written += _write_metrics(config, features, evaluations, clock)
    _print_report(config, features, evaluations[TEST], written)

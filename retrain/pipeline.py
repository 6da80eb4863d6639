"""A training run from folders of pictures to a classifier, straight down."""

import logging

from retrain import bottlenecks, images, outputs, report, training
from retrain.backbones import engines, registry
from retrain.clock import Clock
from retrain.config import TrainingConfig
from retrain.evaluation import evaluate
from retrain.export.assemble import assemble
from retrain.graph_session import tensorflow_session
from retrain.runtime import load_in_background
from retrain.splits import TEST, VALIDATION


def run(config: TrainingConfig) -> None:
    """Trains a classifier, tests it, and writes what the config asks for.

    Raises:
        UserError: the user must change something; no classifier was written over then.
    """
    clock = Clock()
    outputs.check(config.output)
    engines.check_name(config.engine)
    backbone = registry.load(config.architecture)
    with clock.phase("scan"):
        dataset = images.scan(config.image_dir, config.split)
    logging.info("%s", report.dataset_line(dataset))
    # The export needs it and it takes a second to load, while the features do without.
    load_in_background(tensorflow_session)
    with clock.phase("bottlenecks"):
        features = bottlenecks.compute(
            dataset, backbone, config.engine, config.bottleneck_dir, config.strict
        )
    logging.info("%s", report.bottlenecks_line(features))
    with clock.phase("training"):
        head = training.train_head(config, backbone, features)
    with clock.phase("evaluation"):
        validation = features.part(VALIDATION)
        test = features.part(TEST).sample(config.test_batch_size, config.head.seed)
        evaluations = {
            part: evaluate(head.probabilities(data.vectors), data.categories)
            for part, data in ((VALIDATION, validation), (TEST, test))
        }
    with clock.phase("export"):
        classifier = assemble(config, backbone, features.dataset, head, evaluations[TEST].accuracy)
        written = outputs.write_classifier(classifier, config.output, features.any_pictures())
    written += outputs.write_metrics(config, features, evaluations, clock)
    report.print_results(config, features.dataset.labels, test.pictures, evaluations[TEST], written)

"""A training run from folders of pictures to a classifier, straight down."""

import logging

from retrain import images, outputs, report
from retrain.backbones import engines, registry
from retrain.clock import Clock
from retrain.config import TrainingConfig
from retrain.export.assemble import assemble
from retrain.graph_session import tensorflow_session
from retrain.runtime import load_in_background
from retrain.training import train_and_test


def run(config: TrainingConfig) -> None:
    """Trains a classifier, tests it, and writes what the config asks for.

    Raises:
        UserError: the user must change something; no classifier was written over then.
    """
    clock = Clock()
    outputs.check(config.output)
    engine = engines.chosen(config.engine)
    backbone = registry.load(config.architecture)
    with clock.phase("scan"):
        dataset = images.scan(config.image_dir, config.split)
    logging.info("%s", report.dataset_line(dataset))
    # The export needs it and it takes a second to load, while the features do without at first.
    load_in_background(tensorflow_session)
    # A graph calculates in float32, and a head for int8 features does not fit it.
    for_graph = engines.chosen(engines.AUTO) if engine == engines.INT8 else engine
    trained = {
        name: train_and_test(config, backbone, dataset, name, clock)
        for name in dict.fromkeys((engine, for_graph))
    }
    best = trained[for_graph]
    with clock.phase("export"):
        classifier = assemble(config, backbone, best.features, best.head, best.test.accuracy)
        written = outputs.write_classifier(classifier, config.output, best.features.any_pictures())
    written += outputs.write_metrics(config, trained, clock)
    report.print_results(config, best, trained.get(engines.INT8), written)

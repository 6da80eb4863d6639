"""A training run from folders of images to a classifier, straight down."""

import logging

from retrain.backbones import engines, registry
from retrain.config import TrainingConfig
from retrain.data.dataset import scan_dataset
from retrain.data.splits import TEST
from retrain.export import formats, outputs
from retrain.export.assemble import assemble
from retrain.fine_tuning import selection
from retrain.report import metrics, run_plots, text_report
from retrain.runtimes.graph_session import tensorflow_session
from retrain.system.phase_timer import PhaseTimer
from retrain.system.threads import load_in_background
from retrain.training import class_weights
from retrain.training.train import train_and_test


def run(config: TrainingConfig) -> None:
    """Trains a classifier, tests it, and writes what the config asks for.

    Raises:
        UserError: the user must change something; no classifier was written over then.
    """
    timer = PhaseTimer()
    engine = engines.chosen(config.engine)
    backbone = registry.resolve(config.backbone, config.bottleneck_dir)
    engines.check(config.engine, backbone)
    outputs.check(config.output, backbone)
    run_plots.check(config)
    with timer.phase("scan"):
        dataset = scan_dataset(config.image_dir, config.split)
    logging.info("%s", text_report.dataset_line(dataset))
    class_weights.check_labels(config.head.class_weights, dataset.labels, dataset.folders)
    outputs.check_can_be_tested(len(dataset.split(TEST)), config.output)
    selection.check(config.fine_tuning, backbone, dataset)
    # It takes a second to load. The export needs it, and features in bfloat16 do.
    load_in_background(tensorflow_session)
    # A graph calculates in float32, and a head for int8 features does not fit it.
    for_graph = engines.chosen(engines.AUTO) if engine == engines.INT8 else engine
    in_int8 = engine == engines.INT8 or formats.needs_int8(config.output)
    names = (engines.INT8, for_graph) if in_int8 else (for_graph,)
    observe_steps = outputs.intermediate_writer(config)
    trained = train_and_test(config, backbone, dataset, names, timer, observe_steps=observe_steps)
    fine_tuned = None
    if config.fine_tuning.epochs:
        config, backbone, trained, fine_tuned = selection.better(
            config, backbone, trained, timer, observe_steps
        )
    outputs.check_accuracy(trained, config.output)
    with timer.phase("drawings"):
        drawn = run_plots.write(config, backbone, trained, fine_tuned)
    with timer.phase("export"):
        classifiers = {
            name: assemble(config, backbone, it.features, it.head, it.test.accuracy)
            for name, it in trained.items()
        }
        features = trained[for_graph].features
        written, checked, table = outputs.write_classifiers(classifiers, config.output, features)
    written += drawn
    written += metrics.write_metrics(config, trained, fine_tuned, checked, timer)
    text_report.print_results(config, trained, fine_tuned, written, table)

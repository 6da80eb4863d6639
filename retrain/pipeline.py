"""Runs a training from folders of images to an exported classifier."""

import logging

from retrain.comparison.architectures import resolve_backbones, select_backbone
from retrain.comparison.baseline import compare_with_baseline
from retrain.comparison.baseline_classifier import BaselineClassifier
from retrain.comparison.comparisons import Comparisons
from retrain.config import TrainingConfig
from retrain.data.dataset import scan_dataset
from retrain.data.groups import summarise_name_groups
from retrain.data.splits import TEST
from retrain.data_check import last_check
from retrain.export import formats, output_checks, outputs
from retrain.fine_tuning import selection
from retrain.report import metrics, run_plots, run_report, text_report
from retrain.report.finished_training import FinishedTraining
from retrain.runtimes.litert import import_interpreter
from retrain.runtimes.tensorflow_import import import_session_modules
from retrain.shards import shards_for_training
from retrain.system.outputs.staging import Staging
from retrain.system.phase_timer import PhaseTimer
from retrain.system.threads import load_in_background
from retrain.training import class_weights, folded_images
from retrain.training.engine_plan import plan_engines
from retrain.training.train import train_and_evaluate


def run(config: TrainingConfig) -> None:
    """Trains a classifier, evaluates it, and writes the files that the config asks for.

    Raises:
        UserError: If the images, the options or the files cannot be used. No file is changed then.
    """
    timer = PhaseTimer()
    plan = plan_engines(config.engine, int8_export=formats.needs_int8(config.output))
    backbones = resolve_backbones(config)
    for backbone in backbones:
        output_checks.check(config, backbone)
    run_plots.check(config)
    run_report.check(config)
    with timer.phase("scan"):
        dataset = summarise_name_groups(scan_dataset(config.image_dir, config.split), config.split)
    logging.info("%s", dataset.describe())
    data_check = last_check.log_summary(config.bottleneck_dir, dataset)
    folded_images.check_fold_count(config.folds, dataset.images)
    class_weights.check_labels(config.head.class_weights, dataset.labels, dataset.folders)
    output_checks.require_test_images(len(dataset.split(TEST)), config.output)
    for backbone in backbones:
        selection.check(config.fine_tuning, backbone, dataset)
    baseline = BaselineClassifier.load(config.baseline, dataset.labels)
    plan = shards_for_training.merge(config, backbones, dataset, plan)
    load_in_background(_import_runtimes)
    observe_steps = outputs.intermediate_writer(config)
    config, backbone, architectures = select_backbone(
        config, backbones, dataset, engine=plan.primary, timer=timer
    )
    results = train_and_evaluate(
        config, backbone, dataset, plan, timer=timer, observe_steps=observe_steps
    )
    fine_tuning = None
    if config.fine_tuning.epochs:
        config, backbone, results, fine_tuning = selection.select_fine_tuned(
            config, backbone, results, plan=plan, timer=timer, observe_steps=observe_steps
        )
    output_checks.require_accuracy(results, config.output)
    training = FinishedTraining(
        config=config,
        backbone=backbone,
        results=results,
        fine_tuning=fine_tuning,
        comparisons=Comparisons(
            architectures, compare_with_baseline(baseline, results.primary, config.split)
        ),
        data_check=data_check,
        timer=timer,
    )
    with Staging(output_checks.output_paths(config.output)) as staging:
        with timer.phase("export"):
            classifiers = outputs.assemble_classifiers(config, backbone, results)
            exported = outputs.stage_classifiers(
                staging, classifiers, config.output, results.primary.features
            )
        with timer.phase("plots"):
            plots = run_plots.stage_plots(staging, training)
        reports = run_report.stage_reports(staging, training, exported)
        metrics_files = metrics.stage_metrics(staging, training, exported.parity_checks)
    files = [*exported.files, *plots, *reports, *metrics_files]
    text_report.print_results(training, files, exported.parity_table)


def _import_runtimes() -> None:
    """Imports LiteRT, which is needed first, and TensorFlow, which takes a second."""
    import_interpreter()
    import_session_modules()

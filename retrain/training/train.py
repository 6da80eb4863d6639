"""Computes features with the engines of a run, and trains and evaluates a head for each."""

import dataclasses
import logging

from retrain.backbones.backbone import Backbone
from retrain.backbones.engines import INT8
from retrain.bottlenecks.compute import compute_bottlenecks
from retrain.bottlenecks.features import Bottlenecks
from retrain.config import TrainingConfig
from retrain.data.dataset import Dataset
from retrain.data.groups import number_groups
from retrain.data.splits import TEST, VALIDATION
from retrain.data_check.near_duplicate_groups import near_duplicate_grouping
from retrain.system.phase_timer import PhaseTimer
from retrain.training.cross_validation import cross_validate
from retrain.training.engine_plan import EnginePlan
from retrain.training.evaluation import evaluate
from retrain.training.familiarity_fit import train_familiarity
from retrain.training.head_training import train_head
from retrain.training.results import HeadResult, Results
from retrain.training.sgd_run import StepObserver, ignore_steps


def train_and_evaluate(
    config: TrainingConfig,
    backbone: Backbone,
    dataset: Dataset,
    plan: EnginePlan,
    *,
    timer: PhaseTimer,
    warn_duplicates: bool = True,
    observe_steps: StepObserver = ignore_steps,
) -> Results:
    """Trains a head on the features of each engine, and evaluates it.

    Args:
        config: Configuration of the run.
        backbone: The backbone that computes the features.
        dataset: All images.
        plan: The engines.
        timer: Timer of the run's phases.
        warn_duplicates: Whether to warn about duplicate images and to describe groups of images.
        observe_steps: Observer of the steps of gradient descent.

    Raises:
        UserError: If the images, the cache or the options cannot be used.
    """
    results: dict[str, HeadResult] = {}
    for engine in plan.engines:
        if plan.int8:
            logging.info("Training a head on the features of engine %s.", engine)
        with timer.phase("bottlenecks"):
            features = compute_bottlenecks(
                dataset,
                backbone,
                engine,
                config.bottleneck_dir,
                strict=config.strict,
                distortions=config.distortions,
                warn_duplicates=warn_duplicates and not results,
                group=near_duplicate_grouping(config, dataset),
            )
        if not results:
            if warn_duplicates:
                _log_groups(features.dataset)
            if features.dataset.describe() != dataset.describe():
                logging.info("In use: %s", features.dataset.describe())
        logging.info("%s", features.summary())
        results[engine] = _train_and_evaluate_head(
            config,
            backbone,
            features,
            timer=timer,
            run_name=_run_name(backbone, engine, plan),
            observe_steps=observe_steps,
        )
        if engine == plan.primary and not backbone.fine_tuned:
            results[engine] = _cross_validate(config, backbone, results[engine], timer)
        # The next engine does not try to read the unreadable images again.
        dataset = features.dataset
    return Results(results[plan.primary], results.get(INT8))


def _log_groups(dataset: Dataset) -> None:
    grouping = dataset.grouping
    if grouping is None:
        return
    logging.info("%s", grouping.describe())
    if grouping.fixed_count:
        logging.warning(
            "%d groups of near-duplicates have images in --validation_dir or --test_dir and in "
            "another split, so the measured accuracy is too high. Keep one image of each group; "
            "//tools:check_images lists them.",
            grouping.fixed_count,
        )


def _run_name(backbone: Backbone, engine: str, plan: EnginePlan) -> str:
    names = (["fine_tuned"] if backbone.fine_tuned else []) + ([engine] if plan.int8 else [])
    return "_".join(names)


def _train_and_evaluate_head(
    config: TrainingConfig,
    backbone: Backbone,
    features: Bottlenecks,
    *,
    timer: PhaseTimer,
    run_name: str,
    observe_steps: StepObserver,
) -> HeadResult:
    with timer.phase("training"):
        trained = train_head(
            config,
            backbone,
            features,
            run_name=run_name,
            validation_only=backbone.fine_tuned,
            observe_steps=observe_steps,
        )
    with timer.phase("evaluation"):
        test = features.split(TEST).sample(config.test_batch_size, config.head.seed)
        evaluations = {
            name: evaluate(
                trained.head.probabilities(split.vectors),
                split.class_ids,
                groups=number_groups(split.images),
            )
            for name, split in {VALIDATION: features.split(VALIDATION), TEST: test}.items()
        }
    with timer.phase("familiarity"):
        familiarity = train_familiarity(
            backbone, features, config.bottleneck_dir, seed=config.head.seed
        )
    return HeadResult(
        features,
        trained.head,
        test,
        evaluations,
        trained.history,
        trained.summaries,
        familiarity=familiarity,
    )


def _cross_validate(
    config: TrainingConfig, backbone: Backbone, result: HeadResult, timer: PhaseTimer
) -> HeadResult:
    """Returns the result with that of a cross-validation, if the config asks for one."""
    if not config.cross_validation_folds:
        if config.output.shows_cross_validation:
            logging.warning(
                "There is no cross-validation: --distortions_per_image=0 keeps no features to "
                "train the folds on."
            )
        return result
    with timer.phase("cross_validation"):
        out_of_fold = cross_validate(
            result.features,
            config.head,
            config.cross_validation_folds,
            stage_widths=backbone.stage_widths,
        )
    return dataclasses.replace(result, out_of_fold=out_of_fold)

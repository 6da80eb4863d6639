"""Exports the classifiers of a run: writes each file to a temporary place, and checks it."""

import logging
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from retrain.backbones.backbone import Backbone
from retrain.backbones.engines import INT8
from retrain.bottlenecks.features import Bottlenecks
from retrain.config import TrainingConfig
from retrain.errors import UserError
from retrain.export import formats, frozen_graph, parity
from retrain.export.assemble import TrainedClassifier, assemble
from retrain.export.formats import Export, UnverifiableError, WrittenFile
from retrain.export.parity import ParityCheck
from retrain.export.parity_sample import MAX_IMAGES, MIN_IMAGES, Sample, draw_sample
from retrain.export.parity_table import format_table
from retrain.metadata import labels_text
from retrain.output_options import OutputOptions
from retrain.runtimes.head import Head
from retrain.system.outputs.atomic_files import write_file
from retrain.system.outputs.staging import Staging
from retrain.training.results import HeadResult, Results
from retrain.training.sgd import OnStep
from retrain.training.sgd_run import StepObserver

# Largest difference between two probabilities that rounding can explain.
_ROUNDING_ERROR = 5e-3


class ParityError(Exception):
    """An exact export computes other outputs than the tested classifier: a defect."""


class Classifiers(NamedTuple):
    """The classifiers that a run exports.

    Attributes:
        primary: The classifier for every floating-point format.
        int8: The classifier with an int8 backbone and a head for its features, if needed.
    """

    primary: TrainedClassifier
    int8: TrainedClassifier | None = None


class Exported(NamedTuple):
    """The exported files, which are still in their temporary places.

    Attributes:
        files: All files.
        parity_checks: Parity check of each classifier file.
        parity_table: Lines of a table of the checks.
        graph: Temporary path of the frozen graph.
    """

    files: list[WrittenFile]
    parity_checks: list[ParityCheck]
    parity_table: list[str]
    graph: Path


def assemble_classifiers(
    config: TrainingConfig, backbone: Backbone, results: Results
) -> Classifiers:
    """Assembles the classifiers of a run from its backbone and the trained heads."""

    def assemble_one(result: HeadResult) -> TrainedClassifier:
        return assemble(
            config,
            backbone,
            result.features,
            result.head,
            test_accuracy=result.test.accuracy,
            familiarity=result.familiarity,
        )

    int8 = assemble_one(results.int8) if results.int8 else None
    return Classifiers(assemble_one(results.primary), int8)


def stage_classifiers(
    staging: Staging, classifiers: Classifiers, options: OutputOptions, features: Bottlenecks
) -> Exported:
    """Writes the requested files to temporary places, and checks that they agree.

    Args:
        staging: Puts the files in place when the run succeeds.
        classifiers: The classifiers to export.
        options: The files to write.
        features: Features for the primary classifier, and the images to check with.

    Raises:
        UserError: If a file cannot be written, or gives too few images the label that the tested
            classifier gives them.
        ParityError: If an exact export computes other outputs.
    """
    exports = list(formats.requested_exports(options))
    metadata = classifiers.primary.metadata
    # A graph alone is written quickly, and should be checked quickly.
    max_images = MAX_IMAGES if len(exports) > 1 else MIN_IMAGES
    sample = draw_sample(
        features, metadata.height, metadata.width, fit=metadata.fit, max_images=max_images
    )
    expected_by_engine: dict[str, Future[parity.Expected]] = {}
    checks: list[tuple[Export, ParityCheck]] = []
    paths: list[Path] = []
    # The expected outputs are computed while a file is written and loaded.
    with ThreadPoolExecutor(1) as pool:
        for export in exports:
            engine, classifier = features.engine, classifiers.primary
            if export.int8 and classifiers.int8:
                engine, classifier = INT8, classifiers.int8
            if engine not in expected_by_engine:
                expected_by_engine[engine] = pool.submit(
                    parity.expected_outputs, classifier, engine, sample
                )
            paths.append(export.stage(staging, classifier))
            parity_check = _check_parity(export, paths[-1], sample, expected_by_engine[engine])
            if parity_check:
                checks.append((export, parity_check))
    parity_checks = [parity_check for _, parity_check in checks]
    checked = {check.kind for check in parity_checks}
    unverified = [export.name for export in exports if export.name not in checked]
    table = format_table(parity_checks, sample, unverified=unverified)
    for export, parity_check in checks:
        _require_agreement(export, parity_check, options.min_agreement, table)
    staging.file(options.output_labels).write_text(labels_text(metadata.labels), "utf-8")
    graph, *others = (WrittenFile(export.path, export.description) for export in exports)
    files = [graph, WrittenFile(options.output_labels, "its labels"), *others]
    return Exported(files, parity_checks, table, paths[0])


def _check_parity(
    export: Export, path: Path, sample: Sample, expected: Future[parity.Expected]
) -> ParityCheck | None:
    """Returns the parity check of a file, or None if nothing on this machine can run the file."""
    try:
        runtimes = export.load(path)
    except UnverifiableError as error:
        logging.warning(
            "--%s=%s is written without a parity check: %s", export.flag, export.path, error
        )
        return None
    return parity.check(
        export.name,
        path,
        runtimes,
        sample=sample,
        expected=expected.result(),
        timed=export.runs_here,
    )


def _require_agreement(
    export: Export, parity_check: ParityCheck, minimum: float, table: Sequence[str]
) -> None:
    # A network's own decoder can read fewer formats than `retrain.data.pixels`, which the programs
    # here use. So only the pixels decide. Written so that NaN is refused.
    agreement = parity_check.from_pixels.agreement
    if not agreement >= minimum:
        for line in table:
            logging.info("%s", line)
        raise UserError(
            f"--{export.flag}={export.path} gives only {100 * agreement:.1f}% of the "
            f"images the label that the tested classifier gives them, less than "
            f"--min_agreement={minimum:g}; no file was written: choose another format or a lower "
            "--min_agreement"
        )
    if export.exact and not parity_check.from_pixels.largest <= _ROUNDING_ERROR:
        raise ParityError(
            f"{export.name}: probabilities differ by {parity_check.from_pixels.largest:.2g}"
        )
    familiarity = parity_check.familiarity
    if export.exact and familiarity is not None and familiarity > _ROUNDING_ERROR:
        raise ParityError(f"{export.name}: familiarity differs by {familiarity:.2g}")


def intermediate_writer(config: TrainingConfig) -> StepObserver:
    """Returns an observer of training steps that writes intermediate classifiers.

    They are frozen graphs in the folder for such files, as often as the config says.
    """

    def observe(backbone: Backbone, features: Bottlenecks) -> OnStep:
        # A graph computes in floating point, so there are no graphs for int8 features.
        has_graph = features.engine != INT8
        frequency = config.output.intermediate_store_frequency if has_graph else 0

        def write(step: int, head: Head) -> None:
            # Like TensorFlow's script, this skips step 0.
            if frequency and step > 0 and step % frequency == 0:
                classifier = assemble(config, backbone, features, head, test_accuracy=None)
                path = config.output.intermediate_output_graphs_dir / f"intermediate_{step}.pb"
                write_file(path, frozen_graph.to_bytes(classifier))
                logging.info("Wrote the classifier after step %d: %s", step, path)

        return write

    return observe

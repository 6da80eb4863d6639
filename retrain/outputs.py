"""Writes everything that a run leaves behind: all of it checked first, then put in place."""

import contextlib
import logging
from collections.abc import Mapping

from retrain import report
from retrain.bottlenecks import Part
from retrain.clock import Clock
from retrain.config import OutputOptions, TrainingConfig
from retrain.export import frozen_graph
from retrain.export.assemble import Classifier
from retrain.runtime import atomic_file, check_folder_writable, check_writable, write_file
from retrain.trained import Trained


def check(options: OutputOptions) -> None:
    """Raises UserError where something could not be written when the run ends; leaves no trace."""
    check_writable(options.output_graph, "output_graph")
    check_writable(options.output_labels, "output_labels")
    if options.metrics_json:
        check_writable(options.metrics_json, "metrics_json")
    if options.summaries_dir:
        check_folder_writable(options.summaries_dir, "summaries_dir")
    if options.intermediate_store_frequency:
        check_folder_writable(
            options.intermediate_output_graphs_dir, "intermediate_output_graphs_dir"
        )
    frozen_graph.check_output_name(options.final_tensor_name)


def write_classifier(
    classifier: Classifier,
    options: OutputOptions,
    samples: Part,
) -> list[report.Written]:
    """Writes the classifier's files, after each was found to answer as the classifier does.

    Where one does not, none of those that were there before is touched.

    Args:
        classifier: what was trained.
        options: which files.
        samples: pictures to try.

    Raises:
        UserError: a file cannot be written.
        frozen_graph.DisagreementError: a file would answer something else.
    """
    with contextlib.ExitStack() as staged:
        graph = staged.enter_context(atomic_file(options.output_graph))
        graph.write_bytes(frozen_graph.to_bytes(classifier))
        frozen_graph.check(graph, classifier, samples.vectors, [p.path for p in samples.pictures])
        labels = staged.enter_context(atomic_file(options.output_labels))
        labels.write_text("".join(f"{label}\n" for label in classifier.metadata.labels), "utf-8")
    return [
        report.Written(options.output_graph, "the classifier, a frozen TensorFlow graph"),
        report.Written(options.output_labels, "its labels"),
    ]


def write_intermediate(classifier: Classifier, options: OutputOptions, step: int) -> None:
    """Writes the classifier as it is after `step` steps, in the folder for such files."""
    path = options.intermediate_output_graphs_dir / f"intermediate_{step}.pb"
    write_file(path, frozen_graph.to_bytes(classifier))
    logging.info("Wrote the classifier as it was at step %d: %s", step, path)


def write_metrics(
    config: TrainingConfig, trained: Mapping[str, Trained], clock: Clock
) -> list[report.Written]:
    """Writes all numbers of the run, if the config asks for them.

    Args:
        config: of the run.
        trained: by the name of the engine that the features are of; the graph's head last.
        clock: of the run.
    """
    path = config.output.metrics_json
    if path is None:
        return []
    write_file(path, report.metrics(config, trained, clock))
    return [report.Written(path, "the numbers of this run")]

"""Writes everything that a run leaves behind: all of it checked first, then put in place."""

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from retrain.backbones.backbone import Backbone
from retrain.backbones.engines import INT8
from retrain.bottlenecks.compute import Bottlenecks
from retrain.config import OutputOptions, TrainingConfig
from retrain.errors import UserError
from retrain.export import formats, frozen_graph, parity
from retrain.export.assemble import Classifier, assemble
from retrain.export.formats import Export
from retrain.export.parity import Checked
from retrain.export.parity_table import exports_table
from retrain.runtimes.head import Head
from retrain.system.files import atomic_file, check_folder_writable, check_writable, write_file
from retrain.training.results import Trained

# The largest difference between two probabilities that rounding may make.
_ROUNDING = 5e-3


class DisagreementError(Exception):
    """A file answers something else than what was tested: a defect of this program."""


def check(options: OutputOptions, backbone: Backbone) -> None:
    """Raises UserError where something could not be written when the run ends; leaves no trace."""
    formats.check(options, backbone)
    check_writable(options.output_labels, "output_labels")
    if options.metrics_json:
        check_writable(options.metrics_json, "metrics_json")
    if options.summaries_dir:
        check_folder_writable(options.summaries_dir, "summaries_dir")
    if options.intermediate_store_frequency:
        check_folder_writable(
            options.intermediate_output_graphs_dir, "intermediate_output_graphs_dir"
        )
    _check_different(options)


def _check_different(options: OutputOptions) -> None:
    named = [(export.flag, export.path) for export in formats.wanted(options)]
    named += [("output_labels", options.output_labels)]
    if options.metrics_json:
        named += [("metrics_json", options.metrics_json)]
    flags: dict[Path, str] = {}
    for flag, path in named:
        if path in flags:
            raise UserError(
                f"--{flags[path]} and --{flag} are both {path}; give each a name of its own"
            )
        flags[path] = flag


def check_can_be_tested(count: int, options: OutputOptions) -> None:
    """Raises UserError where the options want an accuracy, and there are no images to test it.

    Args:
        count: how many images the test part has.
        options: which files will be written.
    """
    least = options.assert_accuracy_at_least
    if least is not None and not count:
        raise UserError(
            f"--assert_accuracy_at_least={least:g} cannot be told: no images were held out "
            "for testing; set --testing_percentage or --test_dir"
        )


def check_accuracy(trained: Mapping[str, Trained], options: OutputOptions) -> None:
    """Raises UserError where a classifier to be written is not as good as the options want.

    Args:
        trained: by the name of the engine that the features are of; the graph's head last.
        options: which files will be written.
    """
    least = options.assert_accuracy_at_least
    if least is None:
        return
    for engine in _engines(options, trained):
        test = trained[engine].test
        check_can_be_tested(test.count, options)
        if test.accuracy is not None and test.accuracy < least:
            raise UserError(
                f"the accuracy{' in int8' if engine == INT8 else ''} is {test.accuracy:.4f} on "
                f"{test.count} test images, less than --assert_accuracy_at_least={least:g}; no "
                "classifier was written"
            )


def write_classifiers(
    classifiers: Mapping[str, Classifier], options: OutputOptions, features: Bottlenecks
) -> tuple[list[formats.Written], list[Checked], list[str]]:
    """Writes the files of classifiers, after each was found to answer as its classifier does.

    Where one does not, none of those that were there before is touched.

    Args:
        classifiers: by the name of the engine whose features their heads learned from; that of the
            graph last.
        options: which files.
        features: whose images the files are asked about.

    Returns:
        The files, what was found out of each of them, and this as a table.

    Raises:
        UserError: a file cannot be written, or labels fewer images as its classifier does than
            the options want.
        DisagreementError: a file answers something else.
    """
    wanted = list(formats.wanted(options))
    *_, plain = classifiers.values()
    # A graph alone is soon written, and should be soon checked.
    most = parity.MOST if len(wanted) > 1 else parity.FEWEST
    sample = parity.draw(features, plain.metadata.height, plain.metadata.width, most)
    expected = {
        engine: parity.expected(classifiers[engine], engine, sample)
        for engine in _engines(options, classifiers)
    }
    checked = []
    with contextlib.ExitStack() as staged:
        for export in wanted:
            engine = _engine(export, classifiers)
            file = staged.enter_context(export.staged(classifiers[engine]))
            answers = export.load(file)
            found = parity.check(export.kind, file, answers, sample, expected[engine])
            checked.append(found if export.runs_here else parity.untimed(found))
        table = exports_table(checked, sample)
        for export, found in zip(wanted, checked, strict=True):
            _require_agreement(export, found, options.min_agreement, table)
        labels = staged.enter_context(atomic_file(options.output_labels))
        labels.write_text("".join(f"{label}\n" for label in plain.metadata.labels), "utf-8")
    graph, *others = (formats.Written(export.path, export.what) for export in wanted)
    return (
        [graph, formats.Written(options.output_labels, "its labels"), *others],
        checked,
        table,
    )


def _engines(options: OutputOptions, by_engine: Mapping[str, object]) -> list[str]:
    """Returns the engines whose features the heads in the files learned from."""
    return list(dict.fromkeys(_engine(export, by_engine) for export in formats.wanted(options)))


def _engine(export: Export, by_engine: Mapping[str, object]) -> str:
    return INT8 if export.int8 else list(by_engine)[-1]


def _require_agreement(export: Export, found: Checked, least: float, table: Sequence[str]) -> None:
    if not found.agreement >= least:
        for line in table:
            logging.info("%s", line)
        raise UserError(
            f"--{export.flag}={export.path} would give {100 * found.agreement:.1f}% of the "
            f"images the label that the tested classifier gives, less than "
            f"--min_agreement={least:g}; no file was written: choose another kind of file or a "
            "lower --min_agreement"
        )
    if export.exact and not found.from_pixels.largest <= _ROUNDING:
        raise DisagreementError(f"{export.kind}: scores differ by {found.from_pixels.largest:.2g}")


def intermediate_writer(
    config: TrainingConfig,
) -> Callable[[Backbone, Bottlenecks], Callable[[int, Head], None]]:
    """Returns an observer of training steps that writes classifiers not trained to the end.

    They are graphs in the folder for such files, as often as the config says.
    """

    def observe(backbone: Backbone, features: Bottlenecks) -> Callable[[int, Head], None]:
        # None of the graphs calculates in int8.
        in_graph = features.engine != INT8
        frequency = config.output.intermediate_store_frequency if in_graph else 0

        def write(step: int, head: Head) -> None:
            # As in the original: not before the first step, and not after the last.
            if frequency and step > 0 and step % frequency == 0:
                classifier = assemble(config, backbone, features, head, test_accuracy=None)
                _write_intermediate(classifier, config.output, step)

        return write

    return observe


def _write_intermediate(classifier: Classifier, options: OutputOptions, step: int) -> None:
    path = options.intermediate_output_graphs_dir / f"intermediate_{step}.pb"
    write_file(path, frozen_graph.to_bytes(classifier))
    logging.info("Wrote the classifier as it was at step %d: %s", step, path)

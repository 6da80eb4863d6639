"""Checks before the training that all outputs can be written, and after it that they should be."""

import os
from pathlib import Path

from retrain.backbones import frozen_graph
from retrain.backbones.backbone import Backbone
from retrain.config import TrainingConfig
from retrain.data.file_kinds import has_image_name
from retrain.errors import UserError
from retrain.export import formats, free_space
from retrain.output_options import OutputOptions
from retrain.system.outputs.checks import check_folder_writable, check_writable
from retrain.training.results import Results


def check(config: TrainingConfig, backbone: Backbone) -> None:
    """Raises UserError if a file could not be written at the end of the run.

    Nothing is created, so that a run that fails later leaves nothing behind.
    """
    options = config.output
    formats.check(options, backbone)
    check_writable(options.output_labels, "output_labels")
    for flag, path in options.result_files.items():
        check_writable(path, flag)
    if options.summaries_dir:
        check_folder_writable(options.summaries_dir, "summaries_dir")
    if options.intermediate_store_frequency:
        check_folder_writable(
            options.intermediate_output_graphs_dir, "intermediate_output_graphs_dir"
        )
    _check_paths_are_apart(options, config.bottleneck_dir)
    if config.backbone.model_dir:
        _check_network_is_not_replaced(options, frozen_graph.find_file(config.backbone))
    free_space.check(options, backbone)


def _check_paths_are_apart(options: OutputOptions, bottleneck_dir: Path) -> None:
    exports = list(formats.requested_exports(options))
    replaced = _replaced_paths(options)
    flags: dict[Path, str] = {}
    for flag, path in replaced.items():
        if has_image_name(path.name) and path.is_file():
            raise UserError(f"--{flag}={path} is an image and is not replaced; choose another path")
        other = flags.setdefault(_real(path), flag)
        if other != flag:
            raise UserError(f"--{other} and --{flag} are both {path}; choose different paths")
    paths = {**replaced, "bottleneck_dir": bottleneck_dir}
    if options.summaries_dir:
        paths["summaries_dir"] = options.summaries_dir
    if options.intermediate_store_frequency:
        paths["intermediate_output_graphs_dir"] = options.intermediate_output_graphs_dir
    folders = {export.flag for export in exports if export.is_folder}
    for outer, outer_path in replaced.items():
        for flag, path in paths.items():
            if flag != outer and _real(path).is_relative_to(_real(outer_path)):
                kind = "a folder that is replaced as a whole" if outer in folders else "a file"
                raise UserError(
                    f"--{flag}={path} is inside --{outer}={outer_path}, {kind}; choose a path "
                    "outside it"
                )


def _check_network_is_not_replaced(options: OutputOptions, network: Path) -> None:
    """Raises UserError if an output would replace the frozen graph of --model_dir."""
    for flag, path in _replaced_paths(options).items():
        if Path(os.path.realpath(network)).is_relative_to(_real(path)):
            raise UserError(
                f"--{flag}={path} would replace the network of --model_dir, {network}; choose "
                "another path"
            )


def output_paths(options: OutputOptions) -> dict[str, Path]:
    """Returns the files and folders that are written at the end of a run, by their flags."""
    plots = {"plots_dir": options.plots_dir} if options.plots_dir else {}
    return {**_replaced_paths(options), **plots}


def _replaced_paths(options: OutputOptions) -> dict[str, Path]:
    """Returns those that are replaced as a whole."""
    exports = {export.flag: export.path for export in formats.requested_exports(options)}
    return {**exports, "output_labels": options.output_labels, **options.result_files}


def _real(path: Path) -> Path:
    """Returns a path without links to folders. Links to outputs themselves are replaced."""
    return Path(os.path.realpath(path.parent), path.name)


def require_test_images(count: int, options: OutputOptions) -> None:
    """Raises UserError if a minimum accuracy is set, and there are no test images.

    Args:
        count: Number of test images.
        options: The files to write.
    """
    minimum = options.assert_accuracy_at_least
    if minimum is not None and not count:
        raise UserError(
            f"--assert_accuracy_at_least={minimum:g} cannot be checked: no images were held out "
            "for testing; set --testing_percentage or --test_dir"
        )


def require_accuracy(results: Results, options: OutputOptions) -> None:
    """Raises UserError if a classifier to export is less accurate than the options require.

    Args:
        results: The trained heads.
        options: The files to write.
    """
    minimum = options.assert_accuracy_at_least
    if minimum is None:
        return
    exported = [results.primary]
    if results.int8 and formats.needs_int8(options):
        exported.insert(0, results.int8)
    for result in exported:
        test = result.test
        require_test_images(test.count, options)
        if test.accuracy is not None and test.accuracy < minimum:
            in_int8 = " in int8" if result is results.int8 else ""
            raise UserError(
                f"the accuracy{in_int8} is {test.accuracy:.4f} on {test.count} test images, less "
                f"than --assert_accuracy_at_least={minimum:g}; no classifier was written"
            )

"""Checks before a run that its classifiers will fit on the disks."""

import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from retrain.backbones.backbone import Backbone
from retrain.errors import UserError
from retrain.export import coreml_options, tflite
from retrain.output_options import OutputOptions

# Sizes relative to the files of the backbone in 32-bit floating point. Heads are small.
_TFLITE_RATIOS = {tflite.NONE: 1.0, tflite.FLOAT16: 0.5}
_INTEGER_RATIO = 0.25

_MB = 1_000_000
_COREML_RATIOS = {coreml_options.FLOAT32: 1.0, coreml_options.FLOAT16: 0.5}


def check(options: OutputOptions, backbone: Backbone) -> None:
    """Raises UserError if a disk has less free space than the classifiers of a run need.

    Older files count as well, because they stay until all new ones are complete.
    """
    sizes: dict[int, list[tuple[str, Path, float]]] = defaultdict(list)
    for flag, path, size in _expected_sizes(options, backbone):
        sizes[_existing(path).stat().st_dev].append((flag, path, size))
    for outputs in sizes.values():
        flag, path, _ = outputs[0]
        needed, free = sum(size for *_, size in outputs), shutil.disk_usage(_existing(path)).free
        if free < needed:
            others = f" and {len(outputs) - 1} other outputs" if len(outputs) > 1 else ""
            raise UserError(
                f"--{flag}={path}{others} cannot be written: about {needed / _MB:.1f} MB are "
                f"needed, but only {free / _MB:.1f} MB are free; free some space, or choose "
                "another folder"
            )


def _expected_sizes(
    options: OutputOptions, backbone: Backbone
) -> Iterator[tuple[str, Path, float]]:
    """Yields the flag, the path and the approximate size in bytes of each classifier."""
    graph_size = backbone.graph_file.stat().st_size
    yield "output_graph", options.output_graph, graph_size
    if options.saved_model_dir:
        yield "saved_model_dir", options.saved_model_dir, graph_size
    if options.keras_file and backbone.keras_file:
        yield "keras_file", options.keras_file, backbone.keras_file.stat().st_size
    if options.tflite_file and backbone.tflite_file:
        ratio = _TFLITE_RATIOS.get(options.tflite.quantization, _INTEGER_RATIO)
        yield "tflite_file", options.tflite_file, ratio * backbone.tflite_file.stat().st_size
    if options.coreml_file:
        ratio = _COREML_RATIOS[options.coreml.precision]
        yield "coreml_file", options.coreml_file, ratio * graph_size


def _existing(path: Path) -> Path:
    """Returns the closest folder above a path that exists."""
    return next(folder for folder in path.parents if folder.exists())

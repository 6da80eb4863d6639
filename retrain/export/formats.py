"""The kinds of classifier files that a run can write: one entry for each in `wanted`."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeAlias

from retrain.backbones.backbone import Backbone
from retrain.config import OutputOptions
from retrain.errors import UserError
from retrain.export import coreml, coreml_options, frozen_graph, keras_file, saved_model, tflite
from retrain.export.answers import Answers
from retrain.export.assemble import Classifier
from retrain.export.coreml_reference.kernels import UnknownOperationError
from retrain.system.files import atomic_file, atomic_folder, check_output_folder, check_writable

Staged: TypeAlias = contextlib.AbstractContextManager[Path]


class Written(NamedTuple):
    """A file that was written, and what it is."""

    path: Path
    what: str


@dataclass(frozen=True)
class Export:
    """A file to write, or a folder that is used as one.

    Attributes:
        kind: of file, in a word or two.
        what: the file is, for who does not know the kind.
        flag: that asked for it.
        path: where it will be.
        staged: writes a classifier under another name, which it yields; the file gets its own
            name when the block ends well, and is withdrawn when it does not.
        load: reads it back.
        exact: whether it calculates as the tested classifier does, so that its answers may only
            differ by rounding.
        int8: whether it is made from the classifier that was trained on int8 features.
        runs_here: whether it is asked as its users will ask it, and not by a reference.
    """

    kind: str
    what: str
    flag: str
    path: Path
    staged: Callable[[Classifier], Staged]
    load: Callable[[Path], Answers]
    exact: bool = True
    int8: bool = False
    runs_here: bool = True


def wanted(options: OutputOptions) -> Iterator[Export]:
    """Yields what the options ask for, the frozen graph first."""
    yield Export(
        "frozen graph",
        "the classifier, a frozen TensorFlow graph",
        "output_graph",
        options.output_graph,
        partial(_staged, atomic_file, options.output_graph, frozen_graph.write),
        frozen_graph.load,
    )
    if options.saved_model_dir:
        yield Export(
            "SavedModel",
            "the same for TensorFlow Serving, a SavedModel",
            "saved_model_dir",
            options.saved_model_dir,
            partial(_staged, atomic_folder, options.saved_model_dir, saved_model.write),
            saved_model.load,
        )
    if options.keras_file:
        yield Export(
            "Keras",
            "the same for Keras",
            "keras_file",
            options.keras_file,
            partial(_staged, atomic_file, options.keras_file, keras_file.write),
            keras_file.load,
        )
    if options.tflite_file:
        number = options.tflite.quantization
        yield Export(
            f"TFLite, {'float32' if number == tflite.NONE else number}",
            "the same for phones, a TFLite file",
            "tflite_file",
            options.tflite_file,
            partial(
                _staged,
                atomic_file,
                options.tflite_file,
                partial(tflite.write, options=options.tflite),
            ),
            tflite.load,
            exact=number == tflite.NONE,
            int8=number == tflite.INT8,
        )
    if options.coreml_file:
        program = options.coreml_file.suffix == coreml_options.PROGRAM
        yield Export(
            f"Core ML, {options.coreml.precision}",
            "the same for apps on Apple's systems, a Core ML model",
            "coreml_file",
            options.coreml_file,
            partial(
                _staged,
                atomic_folder if program else atomic_file,
                options.coreml_file,
                partial(coreml.write, options=options.coreml),
            ),
            _load_coreml,
            exact=options.coreml.precision == coreml_options.FLOAT32,
            runs_here=False,
        )


def needs_int8(options: OutputOptions) -> bool:
    """Tells whether a classifier for int8 features has to be trained."""
    return any(export.int8 for export in wanted(options))


def check(options: OutputOptions, backbone: Backbone) -> None:
    """Raises UserError where one of the files could not be written when the run ends."""
    check_writable(options.output_graph, "output_graph")
    frozen_graph.check_output_name(options.final_tensor_name)
    if options.saved_model_dir:
        check_output_folder(options.saved_model_dir, "saved_model_dir", saved_model.CONTENTS)
    if options.keras_file:
        check_writable(options.keras_file, "keras_file")
        keras_file.check(options.keras_file, backbone.name, backbone.keras_file is not None)
    if options.tflite_file:
        check_writable(options.tflite_file, "tflite_file")
        tflite.check(options.tflite)
        if backbone.tflite_file is None:
            raise UserError(
                f"--tflite_file={options.tflite_file} cannot be written: TFLite has not all "
                f"operations of {backbone.name}; choose another network or --saved_model_dir"
            )
    if options.coreml_file:
        coreml_options.check(options.coreml_file, options.coreml)


def _load_coreml(path: Path) -> Answers:
    try:
        return coreml.load(path)
    except UnknownOperationError as error:
        raise UserError(
            f"--coreml_file cannot be proven right: what evaluates it does not know {error}; "
            "leave the flag out, and let //tools:convert write the file unproven"
        ) from error


@contextlib.contextmanager
def _staged(
    place: Callable[[Path], Staged],
    path: Path,
    write: Callable[[Path, Classifier], None],
    classifier: Classifier,
) -> Iterator[Path]:
    with place(path) as temporary:
        write(temporary, classifier)
        yield temporary

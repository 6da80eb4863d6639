"""The formats that a run can export a classifier to: one entry each in `requested_exports`."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from retrain.backbones import efficientnet_lite0
from retrain.backbones.backbone import Backbone
from retrain.errors import UserError
from retrain.export import coreml, coreml_options, frozen_graph, keras_file, saved_model, tflite
from retrain.export.assemble import TrainedClassifier
from retrain.export.coreml_reference.errors import UnsupportedOperationError
from retrain.output_options import OutputOptions
from retrain.runtimes import classifier_file
from retrain.runtimes.runtime import NetworkOverrides, Runtime
from retrain.system.outputs.checks import check_writable
from retrain.system.outputs.staging import Staging


class UnverifiableError(Exception):
    """Nothing on this machine can run an exported file. The message says why."""


class WrittenFile(NamedTuple):
    """A file that a run wrote.

    Attributes:
        path: Path of the file, or of the folder that is used like a file.
        description: What the file is, in a few words.
    """

    path: Path
    description: str


@dataclass(frozen=True)
class Export:
    """A file or folder to export a classifier to.

    Attributes:
        name: Name of the format.
        description: What the file is, in a few words.
        flag: Name of the flag that requested it.
        path: Path of the file or folder.
        write: Writes a classifier to the path of a file, or of an empty folder.
        load: Loads what `write` wrote in all ways that programs run it; raises UnverifiableError if
            that is not possible on this machine.
        is_folder: Whether the format is a folder.
        exact: Whether its probabilities equal those of the tested classifier, up to rounding.
        int8: Whether it needs the head that was trained on int8 features.
        runs_here: Whether `load` runs it as users do. If not, `load` runs a reference.
    """

    name: str
    description: str
    flag: str
    path: Path
    write: Callable[[Path, TrainedClassifier], None]
    load: Callable[[Path], Sequence[Runtime]]
    is_folder: bool = False
    exact: bool = True
    int8: bool = False
    runs_here: bool = True

    def stage(self, staging: Staging, classifier: TrainedClassifier) -> Path:
        """Writes a classifier to a temporary path, and returns that path.

        Raises:
            UserError: If the file cannot be written.
        """
        temporary = staging.folder(self.path) if self.is_folder else staging.file(self.path)
        self.write(temporary, classifier)
        return temporary


def requested_exports(options: OutputOptions) -> Iterator[Export]:
    """Yields the exports that the options ask for, the frozen graph first."""
    yield Export(
        name="frozen graph",
        description="the classifier, a frozen TensorFlow graph",
        flag="output_graph",
        path=options.output_graph,
        write=frozen_graph.write,
        load=_load_as_label_image,
    )
    if options.saved_model_dir:
        yield Export(
            name="SavedModel",
            description="the classifier for TensorFlow Serving, a SavedModel",
            flag="saved_model_dir",
            path=options.saved_model_dir,
            write=saved_model.write,
            load=saved_model.load_all,
            is_folder=True,
        )
    if options.keras_file:
        yield Export(
            name="Keras",
            description="the classifier for Keras",
            flag="keras_file",
            path=options.keras_file,
            write=keras_file.write,
            load=lambda path: [keras_file.load(path)],
        )
    if options.tflite_file:
        quantization = options.tflite.quantization
        yield Export(
            name=f"TFLite, {'float32' if quantization == tflite.NONE else quantization}",
            description="the classifier for mobile devices, a TFLite model",
            flag="tflite_file",
            path=options.tflite_file,
            write=partial(tflite.write, options=options.tflite),
            load=_load_as_label_image,
            exact=quantization == tflite.NONE,
            int8=quantization == tflite.INT8,
        )
    if options.coreml_file:
        yield Export(
            name=f"Core ML, {options.coreml.precision}",
            description="the classifier for Apple devices, a Core ML model",
            flag="coreml_file",
            path=options.coreml_file,
            write=partial(coreml.write, options=options.coreml),
            load=_load_coreml,
            is_folder=options.coreml_file.suffix == coreml_options.ML_PROGRAM_SUFFIX,
            exact=options.coreml.precision == coreml_options.FLOAT32,
            runs_here=False,
        )


def needs_int8(options: OutputOptions) -> bool:
    """Returns whether an export needs a head that is trained on int8 features."""
    return any(export.int8 for export in requested_exports(options))


def check(options: OutputOptions, backbone: Backbone) -> None:
    """Raises UserError if an export of the backbone could not be written at the end of the run."""
    check_writable(options.output_graph, "output_graph")
    frozen_graph.check_output_name(options.final_tensor_name)
    if options.saved_model_dir:
        saved_model.check(options.saved_model_dir)
    if options.keras_file:
        check_writable(options.keras_file, "keras_file")
        keras_file.check(
            options.keras_file, backbone.name, has_keras_network=backbone.keras_file is not None
        )
    if options.tflite_file:
        check_writable(options.tflite_file, "tflite_file")
        tflite.check(options.tflite)
        if backbone.tflite_file is None:
            raise UserError(
                f"--tflite_file={options.tflite_file} cannot be written: {backbone.name} has "
                "operations that TFLite does not support; choose another network or another format"
            )
    if options.coreml_file:
        coreml_options.check(options.coreml_file, options.coreml)


def _load_as_label_image(path: Path) -> Sequence[Runtime]:
    """Loads a file in all ways that label_image can.

    A graph is loaded into a session first, because that is how scripts run it.
    """
    # This run made the file from a backbone that was checked when it was loaded.
    trusted = NetworkOverrides(trust_model=True)
    fastest_first = classifier_file.load_all(path, efficientnet_lite0.find, overrides=trusted)
    return list(fastest_first)[::-1]


def _load_coreml(path: Path) -> Sequence[Runtime]:
    try:
        return [coreml.load(path)]
    except UnsupportedOperationError as error:
        raise UnverifiableError(
            f"the reference implementation of Core ML does not support {error}"
        ) from error

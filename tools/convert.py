"""Converts a classifier to Core ML, TFLite, a SavedModel or the current Keras format.

    bazel run //tools:convert -- --graph=/tmp/output_graph.pb --coreml_file=blocks.mlmodel

The input is a frozen graph, the folder of a SavedModel, a .keras or .h5 file, or a model.json with
its weights. Files that retrain wrote contain everything that the conversion needs. For files of
other programs, --labels names the classes, and --input_mean and --input_std, or --image_scale and
--red_bias as in Caffe, describe the normalisation of the images. If a network has a single output
and two labels, the output is the probability of the second label, as in Keras.
"""

from retrain.system.program import exit_on_signals  # noqa: F401 (first, to handle signals during imports)

# isort: split
import logging
from pathlib import Path

from absl import flags

from retrain.flags import values
from retrain.runtimes import fit_flag
from retrain.system.outputs.temporary_folders import temporary_files_of_libraries
from retrain.system.program import command_line
from retrain.system.program.console import quiet_native_libraries
from tools.conversion import input_flags, load, output_flags
from tools.conversion.outputs import ConversionOutputs
from tools.conversion.preprocessing import PreprocessingOptions

# --help lists the flags in this order.
flags.adopt_module_key_flags(input_flags)
flags.adopt_module_key_flags(output_flags)


def main(arguments: list[str]) -> None:
    """Converts the classifier to the formats that the flags name."""
    values.refuse_arguments(arguments, "--graph=FILE names the classifier to convert")
    outputs = output_flags.parse_outputs()
    outputs.check(input_flags.input_files())
    preprocessing_options = input_flags.preprocessing_options()
    path = input_flags.classifier_path()
    load.check_format(path)
    # Errors are reported by exceptions, so the messages on standard error are not needed.
    with quiet_native_libraries(), temporary_files_of_libraries():
        _convert(path, preprocessing_options, outputs)


def _convert(
    path: Path, preprocessing_options: PreprocessingOptions, outputs: ConversionOutputs
) -> None:
    # These modules take seconds to load, so flags are checked first.
    from retrain.export.coremltools_import import load_coremltools
    from tools.conversion import converted_classifier, preprocessing, writers

    if outputs.coreml_file:
        load_coremltools()
    source = load.load(path, input_flags.weights(), input_flags.graph_options())
    classifier = converted_classifier.ConvertedClassifier(
        source=source,
        labels=converted_classifier.resolve_labels(
            path, source.metadata, input_flags.labels_file(), input_flags.class_labels()
        ),
        input_format=preprocessing.resolve(
            preprocessing_options, source.channels, source.input_format
        ),
        add_softmax=input_flags.add_softmax(),
        fit=fit_flag.resolve(
            input_flags.fit(), source.metadata.fit if source.metadata else None, f"--graph={path}"
        ),
    )
    classifier.check()
    for message in writers.write_all(outputs, classifier):
        logging.info("%s", message)


if __name__ == "__main__":
    command_line.run(main, __doc__)

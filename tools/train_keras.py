"""Trains an image classifier with Keras, from pixels or cached bottlenecks.

    bazel run //tools:train_keras -- --train_dir=T --val_dir=V --architecture=A --output_dir=D

T and V are folders with a sub-folder of images for each class: the network is trained on T and
validated on V. T can also be an .npz file like mnist.npz, which contains both. Two small networks
are trained from scratch. Pretrained networks get a new output layer; --fine_tune_layers trains some
of their own layers as well. Without --fine_tune_layers and augmentation, the output layer is
trained on cached bottlenecks, which takes little time per epoch. D receives the best network as
.keras file and as model.json with model.weights.h5, the labels, plots, and logs for TensorBoard.
"""

from retrain.system.program import exit_on_signals  # noqa: F401 (first, to handle signals during imports)

# isort: split
from absl import flags

from retrain.flags import values
from retrain.system.outputs.temporary_folders import temporary_files_of_libraries
from retrain.system.program import command_line
from tools.keras_training import training_flags

flags.adopt_module_key_flags(training_flags)


def main(arguments: list[str]) -> None:
    """Trains the classifier that the flags describe."""
    values.refuse_arguments(arguments, "--train_dir=DIR sets the folder of images")
    options = training_flags.parse_options()
    # Imported here, so that --help and flag errors do not wait for slow imports.
    from tools.keras_training import training

    with temporary_files_of_libraries():
        training.run(options)


if __name__ == "__main__":
    command_line.run(
        main,
        __doc__,
        when_interrupted="interrupted; the same command with --resume continues after the last "
        "finished epoch",
    )

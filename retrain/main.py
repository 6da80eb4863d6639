"""Turns a folder of images into an image classifier.

    bazel run //retrain -- --image_dir=DIR

DIR has a sub-folder of images for each class; the names of the sub-folders become the labels.
A pretrained network turns each image into a short list of numbers (its bottleneck, which is
cached), and a last layer is trained on those. The classifier, one file, its labels and its
accuracy on images that it has not seen are what comes out.
"""

import math
from pathlib import Path

from absl import flags

from retrain.backbones import engines, registry
from retrain.config import (
    ALL_LAYERS,
    BackboneOptions,
    DistortionOptions,
    FineTuningOptions,
    HeadOptions,
    OutputOptions,
    SplitOptions,
    TFLiteOptions,
    TrainingConfig,
)
from retrain.errors import UserError
from retrain.export import coreml_flags
from retrain.system import command_line
from retrain.system.files import user_path
from retrain.training import class_weights

_SPLIT, _HEAD, _OUTPUT = SplitOptions(), HeadOptions(), OutputOptions()
_DISTORTIONS, _BACKBONE = DistortionOptions(), BackboneOptions()
_FINE_TUNING = FineTuningOptions()

_IMAGE_DIR = flags.DEFINE_string(
    "image_dir", None, "Folder with a sub-folder of images for each class. Required."
)
_OUTPUT_GRAPH = flags.DEFINE_string(
    "output_graph", str(_OUTPUT.output_graph), "Where to write the classifier, a frozen graph."
)
_OUTPUT_LABELS = flags.DEFINE_string(
    "output_labels", str(_OUTPUT.output_labels), "Where to write its labels, one a line."
)
_SAVED_MODEL_DIR = flags.DEFINE_string(
    "saved_model_dir",
    None,
    "Where to write the classifier as a SavedModel, for TensorFlow Serving: a new folder, or one "
    "that an earlier run wrote.",
)
_KERAS_FILE = flags.DEFINE_string(
    "keras_file", None, "Where to write it for Keras: a name that ends in .keras."
)
_TFLITE_FILE = flags.DEFINE_string(
    "tflite_file", None, "Where to write it for phones, as a TFLite file with all that apps need."
)
_TFLITE_QUANTIZATION = flags.DEFINE_string(
    "tflite_quantization",
    _OUTPUT.tflite.quantization,
    "How the TFLite file is made smaller: none; float16, half as large; dynamic, a third, but less "
    "exact; int8, a third and twice as fast, with a last layer that is trained for it.",
)
_TFLITE_INPUT = flags.DEFINE_string(
    "tflite_input",
    _OUTPUT.tflite.input_type,
    "What the TFLite file takes: uint8, RGB pixels as they are; float32, normalised ones.",
)
flags.adopt_module_key_flags(coreml_flags)
_MIN_AGREEMENT = flags.DEFINE_float(
    "min_agreement",
    _OUTPUT.min_agreement,
    "Each file is asked about 50 to 500 images; none is written where one of them gives fewer "
    "than this part of them, 0 to 1, the label of the tested classifier.",
)
_ASSERT_ACCURACY_AT_LEAST = flags.DEFINE_float(
    "assert_accuracy_at_least",
    _OUTPUT.assert_accuracy_at_least,
    "Stop before anything is written where the test accuracy, 0 to 1, is less.",
)
_METRICS_JSON = flags.DEFINE_string(
    "metrics_json", None, "Where to write all numbers of the run, as JSON."
)
_PRINT_MISCLASSIFIED = flags.DEFINE_boolean(
    "print_misclassified_test_images",
    TrainingConfig.print_misclassified_test_images,
    "Name the test images that got a wrong label.",
)
_BOTTLENECK_DIR = flags.DEFINE_string(
    "bottleneck_dir",
    str(TrainingConfig.bottleneck_dir),
    "Folder of the cache. Runs on the same images, also under other names, reuse it.",
)
_VALIDATION_PERCENTAGE = flags.DEFINE_float(
    "validation_percentage",
    _SPLIT.validation_percentage,
    "Percentage of the images to watch the training with.",
)
_TESTING_PERCENTAGE = flags.DEFINE_float(
    "testing_percentage",
    _SPLIT.testing_percentage,
    "Percentage of the images to hold out for the final test.",
)
_VALIDATION_DIR = flags.DEFINE_string(
    "validation_dir",
    None,
    "Folder with the same sub-folders, where validation images are apart already.",
)
_TEST_DIR = flags.DEFINE_string(
    "test_dir", None, "Folder with the same sub-folders, where test images are apart already."
)
_SPLIT_BY = flags.DEFINE_enum(
    "split_by",
    _SPLIT.split_by,
    ["name", "path"],
    "What decides an image's part: its folder and file name, which stay the same when the whole "
    "is moved, or its whole path, as in TensorFlow's original.",
)
_STRICT = flags.DEFINE_boolean(
    "strict", TrainingConfig.strict, "Stop at an image that cannot be read, rather than skip it."
)
_RANDOM_CROP = flags.DEFINE_float(
    "random_crop",
    _DISTORTIONS.random_crop,
    "Learn also from training images cropped at random: the margin, in percent of the result.",
)
_RANDOM_SCALE = flags.DEFINE_float(
    "random_scale",
    _DISTORTIONS.random_scale,
    "Learn also from training images enlarged at random, by so many percent at most.",
)
_RANDOM_BRIGHTNESS = flags.DEFINE_float(
    "random_brightness",
    _DISTORTIONS.random_brightness,
    "Learn also from training images made brighter or darker, by so many percent at most.",
)
_FLIP_LEFT_RIGHT = flags.DEFINE_boolean(
    "flip_left_right",
    _DISTORTIONS.flip_left_right,
    "Learn also from mirrored training images: half of the varied ones.",
)
_DISTORTIONS_PER_IMAGE = flags.DEFINE_integer(
    "distortions_per_image",
    _DISTORTIONS.per_image,
    "How many variants of each training image the four flags before make. They are cached, and "
    "more of them later cost only what is added; 0 makes new ones in every training step, as the "
    "original did, which takes hours.",
    lower_bound=0,
    upper_bound=1000,
)
_FINE_TUNE_EPOCHS = flags.DEFINE_integer(
    "fine_tune_epochs",
    _FINE_TUNING.epochs,
    "Let the network itself learn, too: so often from every training image, varied as the flags "
    f"before say, or else as --random_crop={_FINE_TUNING.distortions.random_crop:g} "
    f"--random_scale={_FINE_TUNING.distortions.random_scale:g} "
    f"--random_brightness={_FINE_TUNING.distortions.random_brightness:g} would, anew each time. "
    "What it learned is kept where it helps on the validation images. 0 leaves it as it is; 8 "
    "are usual.",
    lower_bound=0,
    upper_bound=1000,
)
_FINE_TUNE_LAYERS = flags.DEFINE_integer(
    "fine_tune_layers",
    _FINE_TUNING.layers,
    "How many of its last layers with weights learn then, not counting batch normalisation, which "
    "stays as it is; -1 for all.",
)
_SOLVER = flags.DEFINE_enum(
    "solver",
    "auto",
    ["auto", "logistic_regression", "sgd"],
    "How to train the last layer: by regression, whose strength cross-validation chooses, or "
    "by the original's gradient descent, which auto takes when one of its flags is given: "
    "--how_many_training_steps, --learning_rate, --train_batch_size, --validation_batch_size, "
    "--eval_step_interval, --intermediate_store_frequency, or --distortions_per_image=0.",
)
_CLASS_WEIGHTS = flags.DEFINE_string(
    "class_weights",
    _HEAD.class_weights,
    "How much each class counts in the training: balanced, all the same; by_pictures, as many "
    "images as it has; or label=number,..., so many times what the others count.",
)
_CALIBRATE = flags.DEFINE_boolean(
    "calibrate",
    _HEAD.calibrate,
    "Fit the scores to the validation images, so that nine in ten with a score of 0.9 are right.",
)
_STEPS = flags.DEFINE_integer(
    "how_many_training_steps", _HEAD.steps, "How often to adjust the last layer.", lower_bound=1
)
_LEARNING_RATE = flags.DEFINE_float(
    "learning_rate", _HEAD.learning_rate, "How far to adjust it each time."
)
_TRAIN_BATCH_SIZE = flags.DEFINE_integer(
    "train_batch_size",
    _HEAD.train_batch_size,
    "Images in a training step, drawn evenly from all classes, or as --class_weights says; -1 "
    "takes every image once, whatever the weights.",
)
_VALIDATION_BATCH_SIZE = flags.DEFINE_integer(
    "validation_batch_size",
    _HEAD.validation_batch_size,
    "Images in each look at the validation part; -1 takes all of it.",
)
_TEST_BATCH_SIZE = flags.DEFINE_integer(
    "test_batch_size",
    TrainingConfig.test_batch_size,
    "Images in the final test; -1 takes all of the test part.",
)
_EVAL_STEP_INTERVAL = flags.DEFINE_integer(
    "eval_step_interval",
    _HEAD.eval_step_interval,
    "Steps from one look at the accuracies to the next.",
    lower_bound=1,
)
_SEED = flags.DEFINE_integer(
    "seed",
    _HEAD.seed,
    "Of all random choices: the same command gives the same classifier, bit for bit.",
    lower_bound=0,
    # More are not taken by all that has a seed.
    upper_bound=2**32 - 1,
)
_ARCHITECTURE = flags.DEFINE_string(
    "architecture",
    _BACKBONE.architecture,
    f"The pretrained network: {', '.join(registry.architecture_names())}. The first comes with the "
    "program, the weights of the others are downloaded once.",
)
_WEIGHTS = flags.DEFINE_string(
    "weights", None, "File with the weights for it that Keras wrote, to download none."
)
_TFHUB_MODULE = flags.DEFINE_string(
    "tfhub_module",
    None,
    "Module of TensorFlow Hub whose network is taken instead: its address, its handle at Kaggle, a "
    "folder or a .tar.gz file.",
)
_MODEL_DIR = flags.DEFINE_string(
    "model_dir",
    None,
    "Folder with a frozen graph, or such a file, whose network is taken instead: that of the "
    "Inception archive of 2015, or any other. Nodes keep their names.",
)
_INPUT_LAYER = flags.DEFINE_string(
    "input_layer", None, "Its tensor for normalised pixels; needed where the graph is not known."
)
_BOTTLENECK_LAYER = flags.DEFINE_string(
    "bottleneck_layer", None, "Its tensor to learn from; needed where the graph is not known."
)
_INPUT_HEIGHT = flags.DEFINE_integer(
    "input_height", None, "Of its images; needed where the file does not say it.", lower_bound=1
)
_INPUT_WIDTH = flags.DEFINE_integer(
    "input_width", None, "Of its images; needed where the file does not say it.", lower_bound=1
)
_INPUT_MEAN = flags.DEFINE_string(
    "input_mean", None, "Number from 0 to 255, or three of them, that it wants subtracted."
)
_INPUT_STD = flags.DEFINE_string(
    "input_std", None, "Number, or three of them, that it wants pixels to be divided by then."
)
_ENGINE = flags.DEFINE_string(
    "engine",
    TrainingConfig.engine,
    f"What runs it: {', '.join(engines.NAMES)}. auto takes bfloat16 where the processor calculates "
    "with it, else float32, which runs everywhere; tensorflow uses a GPU where a TensorFlow that "
    "was built for it is installed. int8 computes the features once more, in eight bits, and "
    "trains a last layer for them: it tells what a TFLite file with --tflite_quantization=int8 "
    "will reach.",
)
_SUMMARIES_DIR = flags.DEFINE_string(
    "summaries_dir",
    str(_OUTPUT.summaries_dir),
    "Folder for TensorBoard, where each run makes its own; empty writes none.",
)
_PLOTS_DIR = flags.DEFINE_string(
    "plots_dir",
    None,
    "Folder for plots of the run: curves.png, pictures.png, some training images as the "
    "network sees them, confusion.png, what is taken for what, and with --fine_tune_epochs "
    "fine_tuning.png. TensorBoard shows them, too.",
)
_FINAL_TENSOR_NAME = flags.DEFINE_string(
    "final_tensor_name", _OUTPUT.final_tensor_name, "Name of the output in the graph."
)
_INTERMEDIATE_STORE_FREQUENCY = flags.DEFINE_integer(
    "intermediate_store_frequency",
    _OUTPUT.intermediate_store_frequency,
    "Steps from one classifier that is not trained to the end to the next; 0 writes none.",
    lower_bound=0,
)
_INTERMEDIATE_OUTPUT_GRAPHS_DIR = flags.DEFINE_string(
    "intermediate_output_graphs_dir",
    str(_OUTPUT.intermediate_output_graphs_dir),
    "Folder for them.",
)


def main(arguments: list[str]) -> None:
    """Trains a classifier as the flags say."""
    if arguments:
        raise UserError(
            f"no arguments besides flags are known, but got {arguments[0]}; --image_dir=DIR names "
            "the folder of images"
        )
    config = _config()
    # What it imports must not keep --help or a wrong flag waiting.
    from retrain import pipeline

    pipeline.run(config)


def _config() -> TrainingConfig:
    if not _IMAGE_DIR.value:
        raise UserError(
            "--image_dir is needed: a folder with a sub-folder of images for each class"
        )
    if not 0 < _LEARNING_RATE.value < float("inf"):
        raise UserError(
            f"--learning_rate must be more than 0, not {_LEARNING_RATE.value}; "
            f"{_HEAD.learning_rate} is usual"
        )
    _check_class_weights()
    distortions = _distortions()
    return TrainingConfig(
        image_dir=user_path(_IMAGE_DIR.value),
        split=SplitOptions(
            validation_percentage=_VALIDATION_PERCENTAGE.value,
            testing_percentage=_TESTING_PERCENTAGE.value,
            split_by=_SPLIT_BY.value,
            typed_image_dir=_IMAGE_DIR.value,
            validation_dir=_path(_VALIDATION_DIR.value),
            test_dir=_path(_TEST_DIR.value),
        ),
        distortions=distortions,
        head=HeadOptions(
            solver=_solver(distortions),
            class_weights=_CLASS_WEIGHTS.value,
            calibrate=_CALIBRATE.value,
            steps=_STEPS.value,
            learning_rate=_LEARNING_RATE.value,
            train_batch_size=_batch_size(_TRAIN_BATCH_SIZE),
            validation_batch_size=_batch_size(_VALIDATION_BATCH_SIZE),
            eval_step_interval=_EVAL_STEP_INTERVAL.value,
            seed=_SEED.value,
        ),
        output=OutputOptions(
            output_graph=user_path(_OUTPUT_GRAPH.value),
            output_labels=user_path(_OUTPUT_LABELS.value),
            saved_model_dir=_path(_SAVED_MODEL_DIR.value),
            keras_file=_path(_KERAS_FILE.value),
            tflite_file=_path(_TFLITE_FILE.value),
            tflite=_tflite(),
            coreml_file=coreml_flags.file(),
            coreml=coreml_flags.options(),
            min_agreement=_part(_MIN_AGREEMENT.name, _MIN_AGREEMENT.value),
            assert_accuracy_at_least=_least_accuracy(),
            metrics_json=_path(_METRICS_JSON.value),
            summaries_dir=_path(_SUMMARIES_DIR.value),
            plots_dir=_path(_PLOTS_DIR.value),
            intermediate_output_graphs_dir=user_path(_INTERMEDIATE_OUTPUT_GRAPHS_DIR.value),
            intermediate_store_frequency=_INTERMEDIATE_STORE_FREQUENCY.value,
            final_tensor_name=_FINAL_TENSOR_NAME.value,
        ),
        fine_tuning=_fine_tuning(),
        bottleneck_dir=user_path(_BOTTLENECK_DIR.value),
        backbone=BackboneOptions(
            architecture=_ARCHITECTURE.value,
            weights=_path(_WEIGHTS.value),
            tfhub_module=_TFHUB_MODULE.value,
            model_dir=_path(_MODEL_DIR.value),
            input_layer=_INPUT_LAYER.value,
            bottleneck_layer=_BOTTLENECK_LAYER.value,
            input_height=_INPUT_HEIGHT.value,
            input_width=_INPUT_WIDTH.value,
            input_mean=_three_numbers(_INPUT_MEAN),
            input_std=_three_numbers(_INPUT_STD),
        ),
        engine=_ENGINE.value,
        strict=_STRICT.value,
        test_batch_size=_batch_size(_TEST_BATCH_SIZE),
        print_misclassified_test_images=_PRINT_MISCLASSIFIED.value,
    )


def _check_class_weights() -> None:
    text = _CLASS_WEIGHTS.value
    class_weights.check(text)
    if _TRAIN_BATCH_SIZE.value == -1 and text not in (
        class_weights.BALANCED,
        class_weights.BY_PICTURES,
    ):
        raise UserError(
            f"--class_weights={text} cannot be had with --train_batch_size=-1, which takes every "
            "image once in each step; leave one out"
        )


def _distortions() -> DistortionOptions:
    options = DistortionOptions(
        random_crop=_percentage(_RANDOM_CROP),
        random_scale=_percentage(_RANDOM_SCALE),
        random_brightness=_percentage(_RANDOM_BRIGHTNESS),
        flip_left_right=_FLIP_LEFT_RIGHT.value,
        per_image=_DISTORTIONS_PER_IMAGE.value,
        seed=_SEED.value,
    )
    if _DISTORTIONS_PER_IMAGE.present and not options.any:
        raise UserError(
            f"--distortions_per_image={options.per_image} needs to know how to distort: give "
            "--random_crop, --random_scale, --random_brightness or --flip_left_right, too"
        )
    for flag in (_ENGINE, _TFLITE_QUANTIZATION):
        if options.fresh and flag.value == engines.INT8:
            raise UserError(
                f"--distortions_per_image=0 cannot be had with --{flag.name}={flag.value}; leave "
                "one out"
            )
    return options


def _fine_tuning() -> FineTuningOptions:
    epochs, layers = _FINE_TUNE_EPOCHS.value, _FINE_TUNE_LAYERS.value
    if layers < 1 and layers != ALL_LAYERS:
        raise UserError(
            f"--fine_tune_layers={layers} must be a number of layers, or {ALL_LAYERS} for all"
        )
    if _FINE_TUNE_LAYERS.present and not epochs:
        raise UserError(
            f"--fine_tune_layers={layers} needs to know how often to learn: give "
            "--fine_tune_epochs, too"
        )
    if epochs and _INTERMEDIATE_STORE_FREQUENCY.value:
        raise UserError(
            f"--intermediate_store_frequency={_INTERMEDIATE_STORE_FREQUENCY.value} cannot be had "
            f"with --fine_tune_epochs={epochs}, which makes another network in the end; leave one "
            "out"
        )
    return FineTuningOptions(epochs=epochs, layers=layers)


def _tflite() -> TFLiteOptions:
    if not _TFLITE_FILE.value:
        for flag in (_TFLITE_QUANTIZATION, _TFLITE_INPUT):
            if flag.present:
                raise UserError(
                    f"--{flag.name}={flag.value} needs to know where to write the file: give "
                    "--tflite_file, too"
                )
    return TFLiteOptions(_TFLITE_QUANTIZATION.value, _TFLITE_INPUT.value)


def _three_numbers(flag: flags.FlagHolder[str | None]) -> tuple[float, float, float] | None:
    if flag.value is None:
        return None
    try:
        numbers = [float(number) for number in flag.value.split(",")]
    except ValueError:
        numbers = []
    numbers *= 3 if len(numbers) == 1 else 1
    least = 0 if flag is _INPUT_MEAN else math.ulp(0)
    if len(numbers) != 3 or not all(least <= number < math.inf for number in numbers):
        raise UserError(
            f"--{flag.name}={flag.value} must be a number, or three with commas between them, for "
            "red, green and blue; 127.5 is usual"
        )
    return numbers[0], numbers[1], numbers[2]


def _path(value: str | None) -> Path | None:
    return user_path(value) if value else None


def _part(flag: str, value: float) -> float:
    if 0 <= value <= 1:
        return value
    raise UserError(f"--{flag} must be a part of all, from 0 to 1, not {value:g}")


def _least_accuracy() -> float | None:
    value = _ASSERT_ACCURACY_AT_LEAST.value
    return None if value is None else _part(_ASSERT_ACCURACY_AT_LEAST.name, value)


def _percentage(flag: flags.FlagHolder[float]) -> float:
    if 0 <= flag.value <= 100:
        return flag.value
    raise UserError(f"--{flag.name} must be a percentage from 0 to 100, not {flag.value:g}")


def _solver(distortions: DistortionOptions) -> str:
    own = (_STEPS, _LEARNING_RATE, _TRAIN_BATCH_SIZE, _VALIDATION_BATCH_SIZE, _EVAL_STEP_INTERVAL)
    given = [flag.name for flag in (*own, _INTERMEDIATE_STORE_FREQUENCY) if flag.present]
    if distortions.fresh:
        given.append(_DISTORTIONS_PER_IMAGE.name)
    if _SOLVER.value == "auto":
        return "sgd" if given else _HEAD.solver
    if _SOLVER.value != "sgd" and given:
        raise UserError(
            f"--{given[0]} is for --solver=sgd, but got --solver={_SOLVER.value}; leave one out"
        )
    return _SOLVER.value


def _batch_size(flag: flags.FlagHolder[int]) -> int:
    if flag.value == -1 or flag.value > 0:
        return flag.value
    raise UserError(f"--{flag.name} must be a number of images, or -1 for all, not {flag.value}")


if __name__ == "__main__":
    command_line.run(
        main,
        __doc__,
        when_interrupted="interrupted; the bottlenecks so far are in the cache, the last "
        "classifier was left as it is",
    )

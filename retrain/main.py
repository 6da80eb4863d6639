"""Turns a folder of pictures into an image classifier.

    bazel run //retrain -- --image_dir=DIR

DIR has a sub-folder of pictures for each category; the names of the sub-folders become the labels.
A pretrained network turns each picture into a short list of numbers (its bottleneck, which is
cached), and a last layer is trained on those. The classifier, one file, its labels and its
accuracy on pictures that it has not seen are what comes out.
"""

from absl import flags

from retrain import class_weights, command_line
from retrain.backbones import engines, registry
from retrain.config import (
    DistortionOptions,
    HeadOptions,
    OutputOptions,
    SplitOptions,
    TrainingConfig,
)
from retrain.errors import UserError
from retrain.runtime import user_path

_SPLIT, _HEAD, _OUTPUT = SplitOptions(), HeadOptions(), OutputOptions()
_DISTORTIONS = DistortionOptions()

_IMAGE_DIR = flags.DEFINE_string(
    "image_dir", None, "Folder with a sub-folder of pictures for each category. Required."
)
_OUTPUT_GRAPH = flags.DEFINE_string(
    "output_graph", str(_OUTPUT.output_graph), "Where to write the classifier, a frozen graph."
)
_OUTPUT_LABELS = flags.DEFINE_string(
    "output_labels", str(_OUTPUT.output_labels), "Where to write its labels, one a line."
)
_METRICS_JSON = flags.DEFINE_string(
    "metrics_json", None, "Where to write all numbers of the run, as JSON."
)
_PRINT_MISCLASSIFIED = flags.DEFINE_boolean(
    "print_misclassified_test_images",
    TrainingConfig.print_misclassified_test_images,
    "Name the test pictures that got a wrong label.",
)
_BOTTLENECK_DIR = flags.DEFINE_string(
    "bottleneck_dir",
    str(TrainingConfig.bottleneck_dir),
    "Folder of the cache. Runs on the same pictures, also under other names, reuse it.",
)
_VALIDATION_PERCENTAGE = flags.DEFINE_float(
    "validation_percentage",
    _SPLIT.validation_percentage,
    "Percentage of the pictures to watch the training with.",
)
_TESTING_PERCENTAGE = flags.DEFINE_float(
    "testing_percentage",
    _SPLIT.testing_percentage,
    "Percentage of the pictures to hold out for the final test.",
)
_VALIDATION_DIR = flags.DEFINE_string(
    "validation_dir",
    None,
    "Folder with the same sub-folders, where validation pictures are apart already.",
)
_TEST_DIR = flags.DEFINE_string(
    "test_dir", None, "Folder with the same sub-folders, where test pictures are apart already."
)
_SPLIT_BY = flags.DEFINE_enum(
    "split_by",
    _SPLIT.split_by,
    ["name", "path"],
    "What decides a picture's part: its folder and file name, which stay the same when the whole "
    "is moved, or its whole path, as in TensorFlow's original.",
)
_STRICT = flags.DEFINE_boolean(
    "strict", TrainingConfig.strict, "Stop at a picture that cannot be read, rather than skip it."
)
_RANDOM_CROP = flags.DEFINE_float(
    "random_crop",
    _DISTORTIONS.random_crop,
    "Learn also from training pictures cropped at random: the margin, in percent of the result.",
)
_RANDOM_SCALE = flags.DEFINE_float(
    "random_scale",
    _DISTORTIONS.random_scale,
    "Learn also from training pictures enlarged at random, by so many percent at most.",
)
_RANDOM_BRIGHTNESS = flags.DEFINE_float(
    "random_brightness",
    _DISTORTIONS.random_brightness,
    "Learn also from training pictures made brighter or darker, by so many percent at most.",
)
_FLIP_LEFT_RIGHT = flags.DEFINE_boolean(
    "flip_left_right",
    _DISTORTIONS.flip_left_right,
    "Learn also from mirrored training pictures: half of the varied ones.",
)
_DISTORTIONS_PER_IMAGE = flags.DEFINE_integer(
    "distortions_per_image",
    _DISTORTIONS.per_image,
    "How many variants of each training picture the four flags before make. They are cached, and "
    "more of them later cost only what is added; 0 makes new ones in every training step, as the "
    "original did, which takes hours.",
    lower_bound=0,
)
_SOLVER = flags.DEFINE_enum(
    "solver",
    "auto",
    ["auto", "logistic_regression", "sgd"],
    "How to train the last layer: by regression, whose strength the validation pictures choose, or "
    "by the original's gradient descent, which auto takes when one of its flags is given: those "
    "from --how_many_training_steps to --eval_step_interval but --test_batch_size, and "
    "--intermediate_store_frequency.",
)
_CLASS_WEIGHTS = flags.DEFINE_string(
    "class_weights",
    _HEAD.class_weights,
    "How much each category counts in the training: balanced, all the same; by_pictures, as many "
    "pictures as it has; or label=number,..., so many times what the others count.",
)
_CALIBRATE = flags.DEFINE_boolean(
    "calibrate",
    _HEAD.calibrate,
    "Fit the scores to the validation pictures, so that nine in ten with a score of 0.9 are right.",
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
    "Pictures in a training step, drawn evenly from all categories; -1 takes all pictures.",
)
_VALIDATION_BATCH_SIZE = flags.DEFINE_integer(
    "validation_batch_size",
    _HEAD.validation_batch_size,
    "Pictures in each look at the validation part; -1 takes all of it.",
)
_TEST_BATCH_SIZE = flags.DEFINE_integer(
    "test_batch_size",
    TrainingConfig.test_batch_size,
    "Pictures in the final test; -1 takes all of the test part.",
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
)
_ARCHITECTURE = flags.DEFINE_string(
    "architecture",
    TrainingConfig.architecture,
    f"The pretrained network: {', '.join(registry.names())}.",
)
_ENGINE = flags.DEFINE_string(
    "engine",
    TrainingConfig.engine,
    f"What runs it: {', '.join(engines.NAMES)}. int8 is the fastest, and trains another last layer "
    "for it beside that of the graph; float32 runs everywhere; auto takes TensorFlow where there "
    "is a GPU, bfloat16 where the processor calculates with it, else float32.",
)
_SUMMARIES_DIR = flags.DEFINE_string(
    "summaries_dir",
    str(_OUTPUT.summaries_dir),
    "Folder for TensorBoard, where each run makes its own; empty writes none.",
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
            "the folder of pictures"
        )
    config = _config()
    # What it imports must not keep --help or a wrong flag waiting.
    from retrain import pipeline

    pipeline.run(config)


def _config() -> TrainingConfig:
    if not _IMAGE_DIR.value:
        raise UserError(
            "--image_dir is needed: a folder with a sub-folder of pictures for each category"
        )
    if not 0 < _LEARNING_RATE.value < float("inf"):
        raise UserError(
            f"--learning_rate must be more than 0, not {_LEARNING_RATE.value}; "
            f"{_HEAD.learning_rate} is usual"
        )
    class_weights.check(_CLASS_WEIGHTS.value)
    distortions = _distortions()
    return TrainingConfig(
        image_dir=user_path(_IMAGE_DIR.value),
        split=SplitOptions(
            validation_percentage=_VALIDATION_PERCENTAGE.value,
            testing_percentage=_TESTING_PERCENTAGE.value,
            split_by=_SPLIT_BY.value,
            typed_image_dir=_IMAGE_DIR.value,
            validation_dir=user_path(_VALIDATION_DIR.value) if _VALIDATION_DIR.value else None,
            test_dir=user_path(_TEST_DIR.value) if _TEST_DIR.value else None,
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
            metrics_json=user_path(_METRICS_JSON.value) if _METRICS_JSON.value else None,
            summaries_dir=user_path(_SUMMARIES_DIR.value) if _SUMMARIES_DIR.value else None,
            intermediate_output_graphs_dir=user_path(_INTERMEDIATE_OUTPUT_GRAPHS_DIR.value),
            intermediate_store_frequency=_INTERMEDIATE_STORE_FREQUENCY.value,
            final_tensor_name=_FINAL_TENSOR_NAME.value,
        ),
        bottleneck_dir=user_path(_BOTTLENECK_DIR.value),
        architecture=_ARCHITECTURE.value,
        engine=_ENGINE.value,
        strict=_STRICT.value,
        test_batch_size=_batch_size(_TEST_BATCH_SIZE),
        print_misclassified_test_images=_PRINT_MISCLASSIFIED.value,
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
    if options.fresh and _ENGINE.value == engines.INT8:
        raise UserError(
            f"--distortions_per_image=0 cannot be had with --engine={engines.INT8}; leave one out"
        )
    return options


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
    raise UserError(f"--{flag.name} must be a number of pictures, or -1 for all, not {flag.value}")


if __name__ == "__main__":
    command_line.run(
        main,
        __doc__,
        when_interrupted="interrupted; the bottlenecks so far are in the cache, the last "
        "classifier was left as it is",
    )

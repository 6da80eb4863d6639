"""The flags that train the head, the last layer of the classifier."""

from collections.abc import Sequence

from absl import flags

from retrain.config import DEFAULT_FOLDS, TrainingConfig
from retrain.errors import UserError
from retrain.flags import values
from retrain.training import class_weights
from retrain.training_options import HeadOptions

# Heading of these flags in --help.
HEADING = "Last layer, test and cross-validation"

_DEFAULTS = HeadOptions()

_SOLVER = flags.DEFINE_enum(
    "solver",
    "auto",
    ["auto", "logistic_regression", "sgd"],
    "Method to train the last layer: logistic regression, whose features and regularisation "
    "strength cross-validation selects, or stochastic gradient descent, as in TensorFlow's "
    "image_retraining. auto selects sgd if a flag of gradient descent is set: "
    "--how_many_training_steps, --learning_rate, --train_batch_size, --validation_batch_size, "
    "--eval_step_interval, --intermediate_store_frequency, or --distortions_per_image=0.",
)
_CLASS_WEIGHTS = flags.DEFINE_string(
    "class_weights",
    _DEFAULTS.class_weights,
    "Weights of the classes in training: balanced, for the same weight for each class; "
    "by_pictures, for weights proportional to the numbers of images; or label=number,..., for "
    "multiples of the weight of the other classes.",
)
_CALIBRATE = flags.DEFINE_boolean(
    "calibrate",
    _DEFAULTS.calibrate,
    "Whether to calibrate the scores on held-out images, so that about nine in ten predictions "
    "with a score of 0.9 are correct.",
)
_STEPS = flags.DEFINE_integer(
    "how_many_training_steps",
    _DEFAULTS.steps,
    "Number of gradient descent steps.",
    lower_bound=1,
)
_LEARNING_RATE = flags.DEFINE_float(
    "learning_rate", _DEFAULTS.learning_rate, "Learning rate of gradient descent."
)
_TRAIN_BATCH_SIZE = flags.DEFINE_integer(
    "train_batch_size",
    _DEFAULTS.train_batch_size,
    "Number of images in a gradient descent step, sampled from the classes according to "
    "--class_weights. -1 uses every image once in each step, regardless of the weights.",
)
_VALIDATION_BATCH_SIZE = flags.DEFINE_integer(
    "validation_batch_size",
    _DEFAULTS.validation_batch_size,
    "Number of validation images in each evaluation during gradient descent. -1 uses all.",
)
_EVAL_STEP_INTERVAL = flags.DEFINE_integer(
    "eval_step_interval",
    _DEFAULTS.eval_step_interval,
    "Number of gradient descent steps between two evaluations.",
    lower_bound=1,
)
_TEST_BATCH_SIZE = flags.DEFINE_integer(
    "test_batch_size",
    TrainingConfig.test_batch_size,
    "Number of images in the final test. -1 uses the whole test split.",
)
_FOLDS = flags.DEFINE_integer(
    "folds",
    TrainingConfig.folds,
    "Number of folds of a cross-validation on the cached features, such as 5. It estimates the "
    "accuracy from all images of --image_dir instead of from the test split alone. 0 means "
    f"none, but {DEFAULT_FOLDS} with --report or --predictions.",
)
_SEED = flags.DEFINE_integer(
    "seed",
    _DEFAULTS.seed,
    "Random seed. The same command with the same seed produces a bit-identical classifier.",
    lower_bound=0,
    # Some random number generators accept no larger seeds.
    upper_bound=2**32 - 1,
)

_SGD_FLAGS = (
    _STEPS,
    _LEARNING_RATE,
    _TRAIN_BATCH_SIZE,
    _VALIDATION_BATCH_SIZE,
    _EVAL_STEP_INTERVAL,
)


def seed() -> int:
    """Returns the random seed of the run."""
    return _SEED.value


def test_batch_size() -> int:
    """Returns the number of test images to use; -1 for all."""
    return values.batch_size(_TEST_BATCH_SIZE)


def folds() -> int:
    """Returns the value of --folds; see `TrainingConfig.folds`.

    Raises:
        UserError: If the value is out of range.
    """
    if _FOLDS.value != 0 and _FOLDS.value < 2:
        raise UserError(
            f"--folds={_FOLDS.value} must be at least 2, or 0 for no cross-validation; 5 is usual"
        )
    return _FOLDS.value


def parse_options(*, other_sgd_flags: Sequence[str] = ()) -> HeadOptions:
    """Returns how to train the head.

    Args:
        other_sgd_flags: Names of flags from other modules that are set, and need gradient descent.

    Raises:
        UserError: If a value is out of range, or flags contradict each other.
    """
    if not 0 < _LEARNING_RATE.value < float("inf"):
        raise UserError(
            f"--learning_rate={_LEARNING_RATE.value} must be a positive number, such as "
            f"{_DEFAULTS.learning_rate}"
        )
    return HeadOptions(
        solver=_solver(other_sgd_flags),
        class_weights=_class_weights(),
        calibrate=_CALIBRATE.value,
        steps=_STEPS.value,
        learning_rate=_LEARNING_RATE.value,
        train_batch_size=values.batch_size(_TRAIN_BATCH_SIZE),
        validation_batch_size=values.batch_size(_VALIDATION_BATCH_SIZE),
        eval_step_interval=_EVAL_STEP_INTERVAL.value,
        seed=_SEED.value,
    )


def _solver(other_sgd_flags: Sequence[str]) -> str:
    sgd_flags = [*(flag.name for flag in _SGD_FLAGS if flag.present), *other_sgd_flags]
    if _SOLVER.value == "auto":
        return "sgd" if sgd_flags else _DEFAULTS.solver
    if _SOLVER.value != "sgd" and sgd_flags:
        raise UserError(
            f"--{sgd_flags[0]} needs --solver=sgd, but got --solver={_SOLVER.value}; leave one out"
        )
    return _SOLVER.value


def _class_weights() -> str:
    text = _CLASS_WEIGHTS.value
    class_weights.check(text)
    is_keyword = text in (class_weights.BALANCED, class_weights.BY_PICTURES)
    if _TRAIN_BATCH_SIZE.value == -1 and not is_keyword:
        raise UserError(
            f"--class_weights={text} has no effect with --train_batch_size=-1, which uses every "
            "image once in each step; leave one out"
        )
    return text

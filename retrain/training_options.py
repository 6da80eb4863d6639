"""The options of training, augmentation and fine-tuning, with their defaults."""

import dataclasses

# Value of `FineTuningOptions.epochs` and `layers` that leaves the choice to the program.
AUTO = "auto"

# Value of `FineTuningOptions.layers` for all layers.
ALL_LAYERS = -1


@dataclasses.dataclass(frozen=True)
class DistortionOptions:
    """How training images are augmented. Names and meanings are those of TensorFlow's script.

    Attributes:
        random_crop: Margin that is cropped at a random position, in percent of the result.
        random_scale: Maximum enlargement in percent.
        random_brightness: Maximum change of the brightness in percent.
        flip_left_right: Whether half of the variants are mirrored.
        per_image: Number of distorted variants of each image, which stay the same during the
            training; 0 for new variants in every training step, as in TensorFlow's script.
        seed: Random seed of the variants.
    """

    random_crop: float = 0
    random_scale: float = 0
    random_brightness: float = 0
    flip_left_right: bool = False
    per_image: int = 8
    seed: int = 0

    @property
    def any(self) -> bool:
        """Whether images are distorted at all."""
        return bool(
            self.random_crop or self.random_scale or self.random_brightness or self.flip_left_right
        )

    @property
    def cached(self) -> int:
        """Number of distorted variants of each image whose bottlenecks are cached."""
        return self.per_image if self.any else 0

    @property
    def fresh(self) -> bool:
        """Whether each training step computes new variants."""
        return self.any and not self.per_image


NO_DISTORTIONS = DistortionOptions()


@dataclasses.dataclass(frozen=True)
class HeadOptions:
    """How the head, the last layer of the classifier, is trained.

    Attributes:
        solver: "logistic_regression", or "sgd" for gradient descent as in TensorFlow's script.
        class_weights: Weights of the classes; see `class_weights.compute_shares`.
        calibrate: Whether to calibrate the scores by temperature scaling.
        steps: Number of gradient descent steps.
        learning_rate: Learning rate of gradient descent.
        train_batch_size: Number of images in a training step, sampled evenly from all classes; -1
            for all images.
        validation_batch_size: Number of validation images in each evaluation; -1 for all.
        eval_step_interval: Number of steps between two evaluations.
        seed: Random seed of the folds, the initial weights and the batches.
    """

    solver: str = "logistic_regression"
    class_weights: str = "balanced"
    calibrate: bool = True
    steps: int = 4000
    learning_rate: float = 0.01
    train_batch_size: int = 100
    validation_batch_size: int = 100
    eval_step_interval: int = 10
    seed: int = 0

    @property
    def effective_class_weights(self) -> str:
        """`class_weights`, or "by_pictures" if each step of gradient descent uses all images.

        Each image is then used once in each step, so that a class weighs as much as its images.
        """
        uses_all = self.solver == "sgd" and self.train_batch_size == -1
        return "by_pictures" if uses_all else self.class_weights


@dataclasses.dataclass(frozen=True)
class FineTuningOptions:
    """How the backbone is fine-tuned on the training images.

    Attributes:
        epochs: Number of passes over the training images; 0 for no fine-tuning; AUTO to stop when
            the validation loss no longer decreases.
        layers: Number of the backbone's last layers with weights to train; ALL_LAYERS; or AUTO for
            the stages in which images have at most a sixteenth of their height.
        batch_size: Number of images in a step.
        learning_rate: Peak learning rate, reached after the warm-up. It then decays to 0, or stays
            constant with epochs AUTO.
        warm_up: Fraction of all steps for the warm-up, 0 to 1, if the number of epochs is given.
        weight_decay: Weight decay of AdamW.
        label_smoothing: Probability that is spread over all classes, 0 to less than 1.
        distortions: Distortions of the images if the user chooses none. They do not mirror
            images, because that turns some letters or hand signs into others.
    """

    epochs: int | str = 0
    layers: int | str = ALL_LAYERS
    batch_size: int = 32
    learning_rate: float = 2e-4
    warm_up: float = 0.1
    weight_decay: float = 0.01
    label_smoothing: float = 0.1
    distortions: DistortionOptions = DistortionOptions(
        random_crop=15, random_scale=30, random_brightness=20
    )


# The options if the program chooses the number of epochs. Fewer epochs need a higher learning rate.
# With twice this rate, a network fits hand signs better, and forgets what it knows about ordinary
# photos: of 164 cats and dogs, it makes 6 errors instead of 3 to 5.
AUTO_FINE_TUNING = FineTuningOptions(epochs=AUTO, layers=AUTO, learning_rate=5e-4)

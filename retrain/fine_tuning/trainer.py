"""Compiles the training of a network and its head to TensorFlow functions."""

import contextlib
from collections.abc import Iterator
from typing import Any

from retrain.backbones.backbone import Backbone
from retrain.fine_tuning import cut
from retrain.fine_tuning.gradients import fast_gradients
from retrain.fine_tuning.schedule import TuningSchedule
from retrain.runtimes.head import Head
from retrain.training_options import FineTuningOptions

# The gradients of the first steps can be very large.
_MAX_GRADIENT_NORM = 1.0

# Weight of the old average in each step. Averages of few steps forget faster.
_AVERAGE_DECAY = 0.98


class Trainer:
    """A network with its head and optimizer.

    The layers below the trained ones are a function of their own, whose results can be kept.

    Attributes:
        first_final_step: Variable of the schedule, to be assigned before an epoch.
        computes_activations: Whether there are layers below the trained ones.
        variables: All variables that training changes, in a fixed order.
        activations: Returns the inputs of the trained layers for a batch of pixels, uint8
            [N, height, width, 3]. Without layers below, these are the pixels.
        train_step: Trains on a batch of inputs of the trained layers, classes and sample weights;
            returns the number of right labels and the sum of the losses before the step.
        logits: Returns the logits for a batch of inputs of the trained layers.
    """

    def __init__(
        self,
        network: Any,
        head: Head,
        backbone: Backbone,
        *,
        options: FineTuningOptions,
        schedule: TuningSchedule,
    ) -> None:
        """Prepares the functions.

        Args:
            network: Keras model from normalised pixels, float32 [N, height, width, 3], to
                features, float32 [N, feature_width]. Its trainable layers are trained in place.
            head: The head to start from.
            backbone: The backbone that `network` was loaded from.
            options: Hyperparameters.
            schedule: Schedule of the training.
        """
        import tensorflow as tf

        keras = tf.keras
        classes = len(head.bias)
        dense = keras.layers.Dense(classes)
        dense.build((None, backbone.feature_width))
        dense.set_weights([head.weights, head.bias])
        bottom, top = cut.cut_below_training(network)
        trained = [*network.trainable_variables, *dense.trainable_variables]
        self.first_final_step = tf.Variable(0, dtype=tf.int64)
        optimizer = keras.optimizers.AdamW(
            schedule.learning_rate(self.first_final_step),
            options.weight_decay,
            global_clipnorm=_MAX_GRADIENT_NORM,
        )
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        optimizer.build(trained)
        off_value = options.label_smoothing / classes
        on_value = 1 - options.label_smoothing + off_value
        is_bgr = backbone.channel_order == "BGR"

        def normalise(pixels: Any) -> Any:
            ordered = tf.cast(pixels[..., ::-1] if is_bgr else pixels, tf.float32)
            return (ordered - tf.constant(backbone.mean)) / tf.constant(backbone.std)

        def activations(pixels: Any) -> Any:
            return pixels if bottom is None else bottom(normalise(pixels), training=False)

        def compute_logits(inputs: Any, *, training: bool) -> Any:
            features = top(normalise(inputs) if bottom is None else inputs, training=training)
            return dense(tf.cast(features, tf.float32))

        def train_step(inputs: Any, class_ids: Any, sample_weights: Any) -> Any:
            targets = tf.one_hot(class_ids, classes, on_value, off_value)
            with fast_gradients():
                logits = compute_logits(inputs, training=True)
            losses = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
            loss = tf.reduce_mean(losses * sample_weights)
            gradients = tf.gradients(loss, [variable.value for variable in trained])
            optimizer.apply(gradients, trained)
            if schedule.is_auto:
                self._update_averages(trained, optimizer.iterations)
            correct = tf.equal(tf.argmax(logits, 1), class_ids)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(class_ids, logits)
            return tf.reduce_sum(tf.cast(correct, tf.float32)), tf.reduce_sum(losses)

        pixels = tf.TensorSpec((None, backbone.height, backbone.width, 3), tf.uint8)
        self.computes_activations = bottom is not None
        self.activations = tf.function(activations, [pixels])
        traced = self.activations.get_concrete_function()
        inputs = tf.TensorSpec(traced.output_shapes, traced.output_dtypes)
        class_ids = tf.TensorSpec((None,), tf.int64)
        sample_weights = tf.TensorSpec((None,), tf.float32)
        self.train_step = tf.function(train_step, [inputs, class_ids, sample_weights])
        self.logits = tf.function(lambda values: compute_logits(values, training=False), [inputs])
        self._trained = trained
        self._averages = [tf.Variable(weight.value) for weight in trained if schedule.is_auto]
        # The random seeds of dropout layers are not weights, but training changes them, too.
        weights = {id(weight) for weight in network.weights}
        seeds = [variable for variable in network.variables if id(variable) not in weights]
        self.variables = [*trained, *seeds, *optimizer.variables, *self._averages]

    def _update_averages(self, trained: list[Any], steps: Any) -> None:
        import tensorflow as tf

        count = tf.cast(steps, tf.float32)
        decay = tf.minimum(_AVERAGE_DECAY, (1 + count) / (10 + count))
        for average, variable in zip(self._averages, trained, strict=True):
            average.assign_add((1 - decay) * (variable.value - average))

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Replaces the trained weights by their moving averages in this block, if there are any."""
        if not self._averages:
            yield
            return
        weights = [variable.numpy() for variable in self._trained]
        self.keep_averages()
        try:
            yield
        finally:
            for variable, weight in zip(self._trained, weights, strict=True):
                variable.assign(weight)

    def keep_averages(self) -> None:
        """Replaces the trained weights by their moving averages, if there are any."""
        if self._averages:
            for variable, average in zip(self._trained, self._averages, strict=True):
                variable.assign(average)

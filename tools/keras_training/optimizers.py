"""Compiles Keras models with the optimizer and loss that the options select."""

from typing import Any

from tools.keras_training.options import ADAM, COSINE, Options

_DEFAULT_MOMENTUM = 0.9


def compile_model(model: Any, options: Options, steps: int) -> None:
    """Compiles a Keras model for training.

    Args:
        model: Model that outputs probabilities.
        options: Options of the training.
        steps: Number of batches in all epochs together.
    """
    from tensorflow import keras

    rate: Any = options.learning_rate
    if options.schedule == COSINE:
        rate = keras.optimizers.schedules.CosineDecay(options.learning_rate, steps)
    if options.optimizer == ADAM:
        optimizer = keras.optimizers.Adam(rate)
    else:
        momentum = _DEFAULT_MOMENTUM if options.momentum is None else options.momentum
        optimizer = keras.optimizers.SGD(rate, momentum, nesterov=momentum > 0)
    # A checkpoint can be restored only into variables that exist.
    optimizer.build(model.trainable_variables)
    model.compile(
        optimizer,
        keras.losses.CategoricalCrossentropy(label_smoothing=options.label_smoothing),
        metrics=["accuracy"],
        # XLA is several times slower on CPUs.
        jit_compile=False,
    )

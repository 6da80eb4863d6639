"""Options to Keras's optimizers and losses."""

from typing import Any

from tools.keras_training.options import ADAM, COSINE, Options

_MOMENTUM = 0.9


def compile_model(model: Any, options: Options, steps: int) -> None:
    """Makes a Keras model ready to learn.

    Args:
        model: to probabilities.
        options: of the training.
        steps: batches in all of it.
    """
    from tensorflow import keras

    rate: Any = options.learning_rate
    if options.schedule == COSINE:
        rate = keras.optimizers.schedules.CosineDecay(options.learning_rate, steps)
    if options.optimizer == ADAM:
        optimizer = keras.optimizers.Adam(rate)
    else:
        momentum = _MOMENTUM if options.momentum is None else options.momentum
        optimizer = keras.optimizers.SGD(rate, momentum, nesterov=momentum > 0)
    optimizer.build(model.trainable_variables)
    model.compile(
        optimizer,
        keras.losses.CategoricalCrossentropy(label_smoothing=options.label_smoothing),
        metrics=["accuracy"],
        # Slower on processors, several times.
        jit_compile=False,
    )

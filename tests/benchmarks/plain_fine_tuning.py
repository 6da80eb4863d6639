"""Fine-tunes the default network with Keras alone, as Keras's guides do; `fine_tuning` runs it.

https://keras.io/guides/transfer_learning/ and https://keras.io/examples/vision/image_classification_from_scratch/
"""

import json
import os
from typing import Any

from absl import flags

from retrain.backbones import efficientnet_lite0
from retrain.data.splits import TEST, TRAINING, VALIDATION
from retrain.fine_tuning import layers
from retrain.system.program import command_line
from retrain.training_options import AUTO

_FOLDER = flags.DEFINE_string(
    "folder", None, "Folder with the sub-folders training, validation and test.", required=True
)
_LAYERS = flags.DEFINE_string("layers", AUTO, "Value of --fine_tune_layers.")
_EPOCHS = flags.DEFINE_integer("epochs", 8, "Maximum number of epochs.")

_SIZE = (224, 224)


def main(_: list[str]) -> None:
    """Prints accuracies, the number of epochs, and the processor seconds of `fit`, as JSON."""
    from tensorflow import keras

    keras.utils.set_random_seed(0)
    train, validation, test = (
        keras.utils.image_dataset_from_directory(
            f"{_FOLDER.value}/{split}", image_size=_SIZE, shuffle=split == TRAINING, verbose=False
        )
        for split in (TRAINING, VALIDATION, TEST)
    )
    model = _build(len(train.class_names))
    model.compile(
        optimizer=keras.optimizers.Adam(1e-4),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    stop = keras.callbacks.EarlyStopping(patience=2, restore_best_weights=True)
    before = sum(os.times()[:2])
    history = model.fit(
        train.prefetch(2),
        validation_data=validation.cache(),
        epochs=_EPOCHS.value,
        callbacks=[stop],
        verbose=0,
    )
    seconds = sum(os.times()[:2]) - before
    accuracies = {
        name: model.evaluate(images, verbose=0, return_dict=True)["accuracy"]
        for name, images in ((VALIDATION, validation), (TEST, test))
    }
    print(json.dumps({**accuracies, "epochs": len(history.epoch), "cpu_seconds": seconds}))


def _build(classes: int) -> Any:
    from tensorflow import keras

    backbone = efficientnet_lite0.load().without_stages()
    network = layers.load_network(backbone)
    count = _LAYERS.value if _LAYERS.value == AUTO else int(_LAYERS.value)
    layers.unfreeze(network, backbone.name, count)
    return keras.Sequential(
        [
            keras.Input((*_SIZE, 3)),
            keras.layers.RandomZoom((-0.3, -0.1)),
            keras.layers.RandomTranslation(0.1, 0.1),
            keras.layers.RandomBrightness(0.2),
            keras.layers.Rescaling(1 / backbone.std[0], -backbone.mean[0] / backbone.std[0]),
            network,
            keras.layers.Dense(classes, activation="softmax"),
        ]
    )


if __name__ == "__main__":
    command_line.run(main, __doc__)

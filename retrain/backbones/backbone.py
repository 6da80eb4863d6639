"""What a backbone is: a pretrained network that turns images into bottlenecks."""

import dataclasses
from pathlib import Path

from retrain.errors import UserError


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A network and how it wants its images.

    Files hold the same network with the same weights: one that every TensorFlow session runs and
    that becomes the exported graph, one for LiteRT, which computes features twice as fast, and one
    for Keras, whose users want layers that they can train.

    Attributes:
        name: what `--architecture` calls it.
        fingerprint: changes when anything does that changes features.
        height: of its images, in pixels.
        width: of its images, in pixels.
        mean: of each channel, in units of 0 to 255; subtracted first.
        std: of each channel; what is divided by then.
        channel_order: "RGB" or "BGR".
        feature_width: values in a bottleneck.
        graph_file: a GraphDef from `DecodeJpeg/contents` and `input` to `bottleneck`, as
            `freeze.to_graph` makes it.
        tflite_file: a TFLite file from float32 [1, height, width, 3], normalised, to float32
            [1, feature_width]; None where TFLite has not all of the network's operations.
        keras_file: a Keras model from float32 [N, height, width, 3], normalised, to float32
            [N, feature_width], of Keras's own layers; None where the network is not of such.
        fine_tuned: whether it has learned from the training images, whose features therefore
            tell nothing of those of other images.
    """

    name: str
    fingerprint: str
    height: int
    width: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    channel_order: str
    feature_width: int
    graph_file: Path
    tflite_file: Path | None
    keras_file: Path | None = None
    fine_tuned: bool = False

    def read_tflite(self) -> bytes:
        """Returns the content of the TFLite file.

        Raises:
            UserError: there is none.
        """
        if self.tflite_file is None:
            raise UserError(
                f"TFLite has not all operations of {self.name}, which TensorFlow alone runs; use "
                "another network for int8 and for TFLite files"
            )
        return self.tflite_file.read_bytes()

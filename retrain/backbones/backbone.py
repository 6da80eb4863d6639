"""Describes a pretrained network: its files, its input images and its features."""

import dataclasses
from pathlib import Path

from retrain.errors import UserError


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A pretrained network that turns images into bottlenecks, which are feature vectors.

    The files contain the same network with the same weights. Every TensorFlow session can run the
    graph, which is also the base of the exported graph. LiteRT runs the TFLite file, twice as fast.
    Keras loads the Keras file, whose layers can be trained.

    Attributes:
        name: Name of the network, such as a value of `--architecture`.
        fingerprint: Hash that changes with everything that changes the features.
        height: Height of the input images in pixels.
        width: Width of the input images in pixels.
        mean: Mean to subtract from each input channel, in units of 0 to 255.
        std: Standard deviation to divide each channel by after that, in units of 0 to 255.
        channel_order: Order of the input channels, "RGB" or "BGR".
        feature_width: Number of values in a bottleneck.
        graph_file: GraphDef with the tensors that `freeze.to_graph` lists.
        tflite_file: TFLite file from float32 [1, height, width, 3], normalised, to float32
            [1, feature_width]; None if TFLite does not support all operations of the network.
        keras_file: Keras model from float32 [N, height, width, 3], normalised, to float32
            [N, feature_width], made of Keras layers; None if the network is not available as such.
        fine_tuned: Whether the network has been trained on the user's images. Its features of
            those images say nothing about its features of new images.
        needs_trust: Whether its file does more than compute, so that only --trust_model runs it.
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
    needs_trust: bool = False

    def read_tflite(self) -> bytes:
        """Returns the content of the TFLite file.

        Raises:
            UserError: If there is no TFLite file.
        """
        if self.tflite_file is None:
            raise UserError(
                f"TFLite does not support all operations of {self.name}, so only TensorFlow can "
                "run it; choose another network for int8 and for TFLite files"
            )
        return self.tflite_file.read_bytes()

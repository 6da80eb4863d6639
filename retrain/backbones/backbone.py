"""Describes a pretrained network: its input images, its features and its files."""

import dataclasses
from pathlib import Path

from retrain.errors import UserError
from retrain.metadata import GRAPH_BOTTLENECK, GRAPH_FEATURES, STRETCH


@dataclasses.dataclass(frozen=True)
class BackboneInfo:
    """A pretrained network without its files.

    The names of the attributes are keys of the JSON file in the cache.

    Attributes:
        name: Name of the network, such as a value of `--architecture`.
        fingerprint: Hash that changes with everything that changes the features. Backbones that
            differ only in the stages that they offer have the same fingerprint.
        height: Height of the input images in pixels.
        width: Width of the input images in pixels.
        mean: Mean to subtract from each input channel, in units of 0 to 255.
        std: Standard deviation to divide each channel by after that, in units of 0 to 255.
        channel_order: Order of the input channels, "RGB" or "BGR".
        feature_width: Number of features.
        fine_tuned: Whether the network has been trained on the user's images. Its features of
            those images say nothing about its features of new images.
        stage_widths: Number of features of each earlier stage, in the order of the features.
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
    fine_tuned: bool = False
    stage_widths: tuple[int, ...] = ()
    needs_trust: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Backbone(BackboneInfo):
    """A pretrained network that turns images into feature vectors.

    The features are the bottleneck, which is the output of the last layer, and after it the pooled
    outputs of earlier stages, if the backbone offers any.

    The files contain the same network with the same weights. Every TensorFlow session can run the
    graph, which is also the base of the exported graph. LiteRT runs the TFLite file, twice as fast.
    Keras loads the Keras file, whose layers can be trained.

    Attributes:
        graph_file: GraphDef with the tensors that `freeze.to_graph` lists.
        tflite_file: TFLite file from float32 [1, height, width, 3], normalised, to float32
            [1, feature_width]; None if TFLite does not support all operations of the network.
        keras_file: Keras model from float32 [N, height, width, 3], normalised, to float32
            [N, feature_width], made of Keras layers; None if the network is not available as such.
        complete: The backbone with all features, if this one has only the bottleneck.
        fit: How images of another aspect ratio are resized; see `retrain.data.pixels.decode`. The
            decoder in the graph file always stretches them; see `backbone_graph.load`.
    """

    graph_file: Path
    tflite_file: Path | None
    keras_file: Path | None = None
    complete: "Backbone | None" = None
    fit: str = STRETCH

    @property
    def bottleneck_width(self) -> int:
        """Number of values in a bottleneck."""
        return self.feature_width - sum(self.stage_widths)

    @property
    def features_tensor(self) -> str:
        """Name of the graph's tensor with the features."""
        return features_tensor(self.stage_widths)

    def without_stages(self) -> "Backbone":
        """Returns the same backbone with the bottleneck as its only features.

        Its files still compute all features, of which the first ones are used.
        """
        if not self.stage_widths:
            return self
        return dataclasses.replace(
            self, feature_width=self.bottleneck_width, stage_widths=(), complete=self
        )

    def with_stages(self) -> "Backbone":
        """Returns the backbone with all features that its files compute."""
        return self.complete or self

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


def features_tensor(stage_widths: tuple[int, ...]) -> str:
    """Returns the name of the tensor with the features in the graph of a backbone.

    Args:
        stage_widths: See `Backbone`.
    """
    return GRAPH_FEATURES if stage_widths else GRAPH_BOTTLENECK

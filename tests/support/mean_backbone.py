"""A backbone without files, for tests whose network returns the mean of each channel."""

from pathlib import Path

from retrain.backbones.backbone import Backbone

SIDE = 8
MEAN_BACKBONE = Backbone(
    name="mean",
    fingerprint="0",
    height=SIDE,
    width=SIDE,
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    channel_order="RGB",
    feature_width=3,
    graph_file=Path("none.pb"),
    tflite_file=None,
)

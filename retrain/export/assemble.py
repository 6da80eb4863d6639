"""The trained parts as one value, from which every kind of file is written."""

import dataclasses

from retrain.backbones.spec import Backbone
from retrain.export.metadata import Metadata
from retrain.head import Head


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A backbone, the head trained on its features, and what is to be said of the two."""

    backbone: Backbone
    head: Head
    metadata: Metadata

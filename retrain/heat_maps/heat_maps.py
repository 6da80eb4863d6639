"""Computes which parts of an image speak for a class.

If a network averages its last layer over the image and a linear layer computes the logits, then a
logit is the mean of a map: the class activation map of Zhou et al. (2016,
https://arxiv.org/abs/1512.04150). The map is exact, and needs no gradients.
"""

from pathlib import Path

import numpy as np

from retrain.heat_maps.networks import PooledNetwork, open_network
from retrain.heat_maps.upsampling import upsample
from retrain.runtimes import classifier_file
from retrain.runtimes.known_graph import FindBackbone
from retrain.runtimes.runtime import NO_OVERRIDES, NetworkOverrides, Runtime


class HeatMaps:
    """The heat maps of a classifier, which can be computed in any number of threads.

    Attributes:
        batch_size: Maximum number of images for one call of `compute`.
    """

    def __init__(self, runtime: Runtime) -> None:
        """Prepares the network of a loaded classifier.

        Args:
            runtime: The classifier.

        Raises:
            NoHeatMapError: If the logits are not a linear function of means over the image.
        """
        self._network: PooledNetwork = open_network(runtime)
        self.batch_size = self._network.batch_size

    def compute(self, pixels: np.ndarray, class_ids: np.ndarray) -> np.ndarray:
        """Returns the heat maps of images, float32 [N, h, w], or [N, k, h, w] for k classes each.

        The mean of a map is the logit of the class. The value at a place is the logit that the
        image would have if it looked like this place everywhere. h and w are those of the largest
        layer that the network averages, such as 14 and 14; maps of smaller layers are upsampled.

        Args:
            pixels: uint8 [N, height, width, 3], RGB, 0 to 255. The network gets them as one batch,
                so N must not be larger than `batch_size`.
            class_ids: int [N], or [N, k]: classes, as indices of labels.

        Raises:
            ModelError: If the network does not take images of this size.
        """
        return self._combine(self._network.run(pixels), class_ids)

    def compute_file(self, data: bytes, class_ids: np.ndarray) -> np.ndarray:
        """Returns the heat maps of an image that the network itself decodes, float32 [k, h, w].

        Args:
            data: Content of an image file.
            class_ids: int [k]: classes, as indices of labels.

        Raises:
            ModelError: If the network takes pixels only, or cannot decode the file.
        """
        return self._combine(self._network.run_file(data), class_ids[np.newaxis])[0]

    def _combine(self, outputs: list[np.ndarray], class_ids: np.ndarray) -> np.ndarray:
        pooled = self._network.pooled
        ids = class_ids.reshape(len(class_ids), -1)
        height, width = (max(output.shape[axis] for output in outputs) for axis in (1, 2))
        result = np.repeat(pooled.bias[ids][..., np.newaxis], height * width, -1)
        result = result.reshape(*ids.shape, height, width)
        for layer, output in zip(pooled.layers, outputs, strict=True):
            weights = layer.weights.T[ids]
            maps = np.einsum("nhwc,nkc->nkhw", output, weights, optimize=True)
            result += upsample(maps, height, width)
        return result.reshape(*class_ids.shape, height, width)


def load(
    path: Path, find_backbone: FindBackbone, *, overrides: NetworkOverrides = NO_OVERRIDES
) -> HeatMaps:
    """Loads the heat maps of the classifier in a file.

    Args:
        path: Frozen graph, TFLite file, Keras file or SavedModel folder.
        find_backbone: Function that returns the known backbone of a name, or None.
        overrides: The user's settings, which override those in the file.

    Raises:
        UserError: If the file cannot be used.
        NoHeatMapError: If the logits are not a linear function of means over the image.
    """
    return HeatMaps(classifier_file.load(path, find_backbone, overrides=overrides))

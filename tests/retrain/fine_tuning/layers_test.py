"""A backbone is loaded as a Keras model that computes exactly its features."""

import numpy as np
from absl.testing import absltest

from retrain.backbones import efficientnet_lite0
from retrain.fine_tuning import layers


class LoadNetworkTest(absltest.TestCase):
    def test_without_stages_the_network_ends_at_the_bottleneck(self):
        backbone = efficientnet_lite0.load()
        pixels = np.random.default_rng(0).normal(size=(1, 224, 224, 3)).astype(np.float32)
        features, bottleneck = (
            layers.load_network(one)(pixels).numpy()
            for one in (backbone, backbone.without_stages())
        )
        self.assertEqual(features.shape, (1, backbone.feature_width))
        self.assertEqual(bottleneck.shape, (1, backbone.bottleneck_width))
        np.testing.assert_array_equal(bottleneck, features[:, :1280])


if __name__ == "__main__":
    absltest.main()

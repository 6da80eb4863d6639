"""Tests the metadata of a classifier that is assembled from the results of a run."""

import dataclasses
from pathlib import Path

import numpy as np
from absl.testing import absltest

from retrain.bottlenecks.features import Bottlenecks, SplitFeatures
from retrain.config import SplitOptions, TrainingConfig
from retrain.data.dataset import Dataset, ImageFile
from retrain.data.splits import TEST, TRAINING, VALIDATION, SplitPercentages
from retrain.export.assemble import assemble
from retrain.output_options import OutputOptions
from retrain.runtimes.head import Head
from retrain.version import VERSION
from tests.support import sample_classifier

_COUNTS = {TRAINING: 4, VALIDATION: 2, TEST: 1}


class AssembleTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        sample = sample_classifier.classifier()
        self.backbone, self.head = sample.backbone, sample.head
        self.config = TrainingConfig(
            image_dir=Path("images"),
            bottleneck_dir=Path("/cache"),
            split=SplitOptions(split_by="path"),
            output=OutputOptions(final_tensor_name="scores"),
        )

    def features(self, int8_network: bytes | None = None) -> Bottlenecks:
        rng = np.random.default_rng(0)
        images: list[ImageFile] = []
        splits = {}
        for split, count in _COUNTS.items():
            new = tuple(ImageFile(Path(split, f"{n}.jpg"), 0, split, None) for n in range(count))
            vectors = rng.normal(0, 1, (count, 1, self.backbone.feature_width)).astype(np.float16)
            splits[split] = SplitFeatures(new, vectors, np.zeros(count, np.int64))
            images += new
        folders = ("Red", "Grün", "Blue_Sky")
        percentages = SplitPercentages.from_options(SplitOptions())
        dataset = Dataset(
            Path("images"), sample_classifier.LABELS, folders, tuple(images), percentages
        )
        engine = "int8" if int8_network else "float32"
        return Bottlenecks(dataset, engine, splits, 0, {}, int8_network=int8_network)

    def test_metadata_describes_backbone_dataset_and_training(self):
        classifier = assemble(
            self.config, self.backbone, self.features(), self.head, test_accuracy=0.75
        )
        metadata = classifier.metadata
        self.assertIs(classifier.head, self.head)
        self.assertEqual(metadata.labels, sample_classifier.LABELS)
        self.assertEqual(metadata.folders, ("Red", "Grün", "Blue_Sky"))
        self.assertEqual(metadata.output, "scores")
        for field in ("height", "width", "mean", "std", "channel_order", "fingerprint"):
            self.assertEqual(getattr(metadata, field), getattr(self.backbone, field), field)
        self.assertEqual(metadata.test_accuracy, 0.75)
        self.assertEqual(metadata.training["engine"], "float32")
        self.assertEqual(metadata.training["solver"], self.config.head.solver)
        self.assertNotIn("fine_tuned", metadata.training)
        self.assertEqual(metadata.versions["retrain"], VERSION)

    def test_image_counts_are_under_the_present_and_the_earlier_key(self):
        classifier = assemble(
            self.config, self.backbone, self.features(), self.head, test_accuracy=None
        )
        self.assertEqual(
            classifier.metadata.split,
            {
                "by": "path",
                "group_by": "near_duplicates",
                "percentages": {"validation": 10, "test": 10},
                "images": _COUNTS,
                "pictures": _COUNTS,
            },
        )

    def test_fine_tuned_backbone_is_recorded(self):
        backbone = dataclasses.replace(self.backbone, fine_tuned=True)
        classifier = assemble(self.config, backbone, self.features(), self.head, test_accuracy=None)
        self.assertIs(classifier.metadata.training["fine_tuned"], True)

    def test_int8_classifier_has_its_network_and_its_largest_training_logit(self):
        features = self.features(int8_network=b"network")
        classifier = assemble(self.config, self.backbone, features, self.head, test_accuracy=None)
        self.assertEqual(classifier.int8_network, b"network")
        logits = self.head.logits(features.split(TRAINING).vectors)
        self.assertAlmostEqual(classifier.largest_logit, np.abs(logits).max(), places=4)

    def test_a_head_for_the_last_layer_ignores_the_other_features_of_the_backbone(self):
        backbone = self.backbone.without_stages()
        head = Head(self.head.weights[: backbone.feature_width], self.head.bias)
        classifier = assemble(self.config, backbone, self.features(), head, test_accuracy=None)
        self.assertEqual(classifier.backbone, self.backbone)
        np.testing.assert_array_equal(classifier.head.weights[:1280], head.weights)
        self.assertEqual(classifier.head.weights.shape, self.head.weights.shape)
        self.assertFalse(classifier.head.weights[1280:].any())
        self.assertFalse(classifier.metadata.training["stages"])

    def test_other_classifiers_have_neither(self):
        classifier = assemble(
            self.config, self.backbone, self.features(), self.head, test_accuracy=None
        )
        self.assertIsNone(classifier.int8_network)
        self.assertIsNone(classifier.largest_logit)


if __name__ == "__main__":
    absltest.main()

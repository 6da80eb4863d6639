"""A configuration states where a classifier came from."""

from pathlib import Path

from absl.testing import absltest

from retrain.config import TrainingConfig
from retrain.training_options import DistortionOptions, HeadOptions


class ProvenanceTest(absltest.TestCase):
    def test_provenance_has_the_options_that_affect_the_training_and_no_others(self):
        def provenance(distortions: DistortionOptions | None = None, **head) -> dict:
            return TrainingConfig(
                Path("/p"),
                bottleneck_dir=Path("/cache"),
                distortions=distortions or DistortionOptions(),
                head=HeadOptions(**head),
            ).provenance()

        self.assertEqual(
            provenance(class_weights="cat=2", calibrate=False, seed=3),
            {
                "solver": "logistic_regression",
                "class_weights": "cat=2",
                "calibrate": False,
                "seed": 3,
                "distortions": {"per_image": 0},
            },
        )
        descended = provenance(solver="sgd", steps=7)
        self.assertEqual((descended["steps"], descended["class_weights"]), (7, "balanced"))
        self.assertContainsSubset({"learning_rate", "train_batch_size"}, descended)
        whole = provenance(solver="sgd", train_batch_size=-1, class_weights="balanced")
        self.assertEqual(whole["class_weights"], "by_pictures")
        # Only gradient descent has batches.
        self.assertEqual(provenance(train_batch_size=-1)["class_weights"], "balanced")
        distorted = provenance(DistortionOptions(random_crop=5, per_image=4, seed=1))["distortions"]
        self.assertEqual((distorted["random_crop"], distorted["per_image"]), (5, 4))


if __name__ == "__main__":
    absltest.main()

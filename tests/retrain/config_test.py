"""A configuration states which networks to use, and where a classifier came from."""

from pathlib import Path

from absl.testing import absltest

from retrain.config import BackboneOptions, TrainingConfig
from retrain.training_options import DistortionOptions, HeadOptions


class BackbonesTest(absltest.TestCase):
    def test_each_compared_network_has_the_other_options_of_the_run(self):
        config = TrainingConfig(
            Path("/p"),
            bottleneck_dir=Path("/cache"),
            backbone=BackboneOptions(fit="crop"),
            architectures=("mobilenet_v2", "inception_v3"),
        )
        self.assertEqual(
            config.backbones,
            (
                BackboneOptions("mobilenet_v2", fit="crop"),
                BackboneOptions("inception_v3", fit="crop"),
            ),
        )

    def test_the_sgd_solver_uses_the_features_of_the_last_layer(self):
        for solver, uses_stages in (("sgd", False), ("logistic_regression", True)):
            config = TrainingConfig(
                Path("/p"), bottleneck_dir=Path("/cache"), head=HeadOptions(solver=solver)
            )
            self.assertEqual([one.uses_stages for one in config.backbones], [uses_stages])


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

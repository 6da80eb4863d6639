"""Builds the texts that identify in the cache how bottlenecks were computed."""

import json
from collections.abc import Mapping
from typing import NamedTuple

from retrain.data.distortions import UNDISTORTED
from retrain.data.pixels import PREPROCESSING_VERSION
from retrain.training_options import DistortionOptions


class Recipes(NamedTuple):
    """The recipes of undistorted and of distorted images.

    A recipe is the JSON of everything that determines a bottleneck, except the image and the
    number of the variant. It is part of the keys in the cache, so its text must not change.

    Attributes:
        undistorted: Recipe of the images themselves.
        distorted: Recipe of their distorted variants.
    """

    undistorted: str
    distorted: str

    @classmethod
    def build(cls, engine_recipe: Mapping[str, str], options: DistortionOptions) -> "Recipes":
        """Returns the recipes for an engine and distortions.

        Args:
            engine_recipe: Everything about the backbone and its engine that determines bottlenecks.
            options: Kinds and limits of the distortions.
        """
        common = {**engine_recipe, "preprocessing": PREPROCESSING_VERSION}
        distorted = {
            **common,
            "random_crop": float(options.random_crop),
            "random_scale": float(options.random_scale),
            "random_brightness": float(options.random_brightness),
            "flip_left_right": options.flip_left_right,
            "seed": options.seed,
        }
        return cls(json.dumps(common, sort_keys=True), json.dumps(distorted, sort_keys=True))

    def of_variant(self, number: int) -> str:
        """Returns the recipe of a variant."""
        return self.undistorted if number == UNDISTORTED else self.distorted

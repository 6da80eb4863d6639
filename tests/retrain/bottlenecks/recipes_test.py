"""Tests that recipes are the texts in existing caches."""

from absl.testing import absltest

from retrain.bottlenecks.recipes import Recipes
from retrain.training_options import DistortionOptions

_ENGINE = {"precision": "float32", "backbone": "abc"}


class RecipesTest(absltest.TestCase):
    def test_the_texts_are_those_of_existing_caches(self):
        options = DistortionOptions(
            random_crop=10, random_brightness=2.5, flip_left_right=True, per_image=3, seed=7
        )
        recipes = Recipes.build(_ENGINE, options)
        self.assertEqual(
            recipes.undistorted,
            '{"backbone": "abc", "precision": "float32", "preprocessing": 2}',
        )
        self.assertEqual(
            recipes.distorted,
            '{"backbone": "abc", "flip_left_right": true, "precision": "float32", '
            '"preprocessing": 2, "random_brightness": 2.5, "random_crop": 10.0, '
            '"random_scale": 0.0, "seed": 7}',
        )

    def test_integers_and_floats_have_the_same_recipe(self):
        integer, floating = (Recipes.build(_ENGINE, DistortionOptions(crop)) for crop in (5, 5.0))
        self.assertEqual(integer, floating)

    def test_the_number_of_variants_does_not_matter(self):
        few, many = (
            Recipes.build(_ENGINE, DistortionOptions(random_crop=5, per_image=count))
            for count in (1, 8)
        )
        self.assertEqual(few, many)

    def test_only_variant_0_is_undistorted(self):
        recipes = Recipes("undistorted", "distorted")
        self.assertEqual(
            [recipes.of_variant(number) for number in (0, 1, 2)],
            ["undistorted", "distorted", "distorted"],
        )


if __name__ == "__main__":
    absltest.main()

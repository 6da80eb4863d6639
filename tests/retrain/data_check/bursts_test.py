"""Photos of the same view within seconds are a burst; others are not."""

import numpy as np
from absl.testing import absltest

from retrain.data.image_traits import TRAITS
from retrain.data_check import bursts
from tests.support import natural_images

_NOON = 1_700_000_000


def _traits(*photos: tuple[int, int, int], shift: int = 2) -> np.ndarray:
    """Returns the traits of photos: number of the view, camera and time of each.

    The camera moves a little from one photo to the next.
    """
    traits = np.zeros(len(photos), TRAITS)
    for row, (view, camera, captured) in enumerate(photos):
        image = natural_images.draw(view).convert("L").resize((40, 40))
        left = shift * row % 8
        traits["thumbnail"][row] = np.asarray(image.crop((left, 4, left + 32, 36)))
        traits["camera"][row], traits["captured"][row] = camera, captured
    return traits


def _find(traits: np.ndarray) -> np.ndarray:
    """Returns the pairs among images of one class."""
    return bursts.find_pairs(traits, np.zeros(len(traits), np.int64))


class BurstsTest(absltest.TestCase):
    def test_photos_of_a_burst_are_paired(self):
        traits = _traits((1, 7, _NOON), (2, 7, _NOON + 60), (1, 7, _NOON + 1), (1, 7, _NOON + 2))
        pairs = {tuple(sorted(pair)) for pair in _find(traits).tolist()}
        self.assertContainsSubset({(0, 2), (2, 3)}, pairs)
        self.assertFalse(any(1 in pair for pair in pairs))

    def test_later_photos_of_the_view_are_not(self):
        traits = _traits((1, 7, _NOON), (1, 7, _NOON + 3600))
        self.assertEmpty(_find(traits))

    def test_photos_of_another_camera_are_not(self):
        self.assertEmpty(_find(_traits((1, 7, _NOON), (1, 8, _NOON))))

    def test_another_view_at_the_same_time_is_not(self):
        self.assertEmpty(_find(_traits((1, 7, _NOON), (5, 7, _NOON + 1))))

    def test_a_photo_of_another_class_is_not(self):
        traits = _traits((1, 7, _NOON), (1, 7, _NOON + 1))
        self.assertEmpty(bursts.find_pairs(traits, np.array([0, 1])))

    def test_a_clock_that_was_never_set_says_nothing(self):
        self.assertEmpty(_find(_traits(*[(1, 7, _NOON)] * 40)))

    def test_photos_without_a_time_are_not_compared(self):
        self.assertEmpty(_find(_traits((1, 0, 0), (1, 0, 0))))
        self.assertEmpty(_find(np.zeros(0, TRAITS)))


if __name__ == "__main__":
    absltest.main()

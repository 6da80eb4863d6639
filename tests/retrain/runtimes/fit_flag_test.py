"""--fit is for classifiers that do not state how their images are resized."""

from absl.testing import absltest, parameterized

from retrain.errors import UserError
from retrain.metadata import CROP, PAD, STRETCH
from retrain.runtimes import fit_flag


class ResolveTest(parameterized.TestCase):
    @parameterized.parameters(
        (None, None, STRETCH), (PAD, None, PAD), (None, CROP, CROP), (CROP, CROP, CROP)
    )
    def test_the_training_comes_before_the_default(self, requested, stated, expected):
        self.assertEqual(fit_flag.resolve(requested, stated, "--graph=g"), expected)

    def test_another_value_than_for_the_training_is_refused(self):
        with self.assertRaisesRegex(
            UserError,
            r"\A--fit=pad contradicts --graph=g, which .* --fit=crop; leave out --fit.*\Z",
        ):
            fit_flag.resolve(PAD, CROP, "--graph=g")


if __name__ == "__main__":
    absltest.main()

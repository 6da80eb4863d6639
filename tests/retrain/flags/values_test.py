"""Values of flags are converted, and refused with the name of the flag if they are invalid."""

import os
from pathlib import Path
from unittest import mock

from absl import flags
from absl.testing import absltest, parameterized

from retrain.errors import UserError
from retrain.flags import values


def _flag(value: object) -> flags.FlagHolder:
    flag = mock.create_autospec(flags.FlagHolder, instance=True)
    flag.name, flag.value = "some_flag", value
    return flag


class ValuesTest(parameterized.TestCase):
    def assert_refused(self, convert, value: object, **options) -> None:
        with self.assertRaisesRegex(UserError, "^--some_flag.* must be "):
            convert(_flag(value), **options)

    def test_a_cache_is_the_users_own_or_the_one_that_the_user_names(self):
        folder = Path(self.create_tempdir().full_path)
        (folder / "own" / "retrain").mkdir(parents=True)
        with mock.patch.dict(os.environ, {"XDG_CACHE_HOME": f"{folder}/own"}):
            for value in (None, ""):
                self.assertEqual(values.cache_folder(_flag(value)), folder / "own" / "retrain")
        self.assertEqual(values.cache_folder(_flag(str(folder))), folder)
        folder.chmod(0o777)
        with self.assertRaisesRegex(UserError, "^--some_flag=.* is not safe as a cache"):
            values.cache_folder(_flag(str(folder)))

    def test_arguments_that_are_not_flags_are_refused_with_advice(self):
        values.refuse_arguments([], "set a flag")
        with self.assertRaisesRegex(UserError, "^unexpected argument cat: .*; set a flag$"):
            values.refuse_arguments(["cat", "dog"], "set a flag")

    def test_a_missing_flag_is_named_with_what_it_sets(self):
        flag = flags.DEFINE_string("values_test_dir", None, "Folder with cats. Required.")
        flags.FLAGS(["program"])
        with self.assertRaisesRegex(UserError, "^--values_test_dir is required: folder with cats$"):
            values.required(flag)
        flags.FLAGS.values_test_dir = "cats"
        self.assertEqual(values.required(flag), "cats")

    def test_batch_sizes_are_positive_or_minus_one(self):
        for value in (-1, 1, 100):
            self.assertEqual(values.batch_size(_flag(value)), value)
        for value in (-2, 0):
            self.assert_refused(values.batch_size, value)

    @parameterized.parameters((None, None), ("2", (2, 2, 2)), ("1,2.5, 3", (1, 2.5, 3)))
    def test_channel_values_are_one_number_or_three(self, text, expected):
        self.assertEqual(values.channel_values(_flag(text), minimum=0), expected)

    @parameterized.parameters("", "1,2", "1,2,3,4", "1,x,3", "-1", "1,2,-3", "nan", "inf")
    def test_invalid_channel_values_are_refused(self, text):
        self.assert_refused(values.channel_values, text, minimum=0)


if __name__ == "__main__":
    absltest.main()

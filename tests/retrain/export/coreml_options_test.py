"""What cannot become a Core ML file is refused before anything is trained."""

from pathlib import Path

from absl.testing import absltest, parameterized

from retrain.config import CoreMLOptions
from retrain.errors import UserError
from retrain.export import coreml_options


class CheckTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)

    def assert_refused(self, expected, name="x.mlmodel", **options):
        with self.assertRaisesRegex(UserError, expected):
            coreml_options.check(self.folder / name, CoreMLOptions(**options))

    @parameterized.parameters("x.mlmodel", "x.mlpackage", "new/x.mlpackage")
    def test_good_places(self, name):
        coreml_options.check(self.folder / name, CoreMLOptions())
        self.assertEmpty(list(self.folder.iterdir()))

    @parameterized.parameters("x", "x.mlmodelc", "x.onnx")
    def test_another_ending(self, name):
        self.assert_refused(r"--coreml_file=.* must end in \.mlpackage", name)

    def test_a_folder_where_a_file_is_to_be(self):
        (self.folder / "x.mlmodel").mkdir()
        self.assert_refused("--coreml_file=.*is a folder")

    def test_a_file_where_a_package_is_to_be(self):
        (self.folder / "x.mlpackage").touch()
        self.assert_refused("--coreml_file=.*is a file", "x.mlpackage")

    def test_a_folder_of_something_else(self):
        (self.folder / "x.mlpackage").mkdir()
        (self.folder / "x.mlpackage" / "diary.txt").touch()
        self.assert_refused("diary.txt.*would be deleted", "x.mlpackage")

    def test_an_older_package(self):
        (self.folder / "x.mlpackage" / "Data").mkdir(parents=True)
        (self.folder / "x.mlpackage" / "Manifest.json").touch()
        coreml_options.check(self.folder / "x.mlpackage", CoreMLOptions())

    def test_an_unknown_precision(self):
        self.assert_refused("--coreml_precision=int4 .*float16, float32", precision="int4")

    @parameterized.parameters("", "1st", "two words", "größe")
    def test_names_that_core_ml_does_not_allow(self, name):
        self.assert_refused("--coreml_input=.* not a name", input_name=name)
        self.assert_refused("--coreml_probabilities=.* not a name", probabilities_name=name)

    def test_names_that_are_taken(self):
        self.assert_refused("--coreml_input=classLabel.*something else", input_name="classLabel")
        self.assert_refused("--coreml_probabilities=image", probabilities_name="image")


if __name__ == "__main__":
    absltest.main()

"""Tests that invalid options for Core ML files are rejected before the training."""

from pathlib import Path

from absl.testing import absltest, parameterized

from retrain.errors import UserError
from retrain.export import coreml_options
from retrain.output_options import CoreMLOptions


class CheckTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)

    def assert_rejected(self, expected, name="x.mlmodel", **options):
        with self.assertRaisesRegex(UserError, expected):
            coreml_options.check(self.folder / name, CoreMLOptions(**options))

    @parameterized.parameters("x.mlmodel", "x.mlpackage", "new/x.mlpackage")
    def test_valid_paths(self, name):
        coreml_options.check(self.folder / name, CoreMLOptions())
        self.assertEmpty(list(self.folder.iterdir()))

    @parameterized.parameters("x", "x.mlmodelc", "x.onnx")
    def test_unknown_suffix(self, name):
        self.assert_rejected(r"--coreml_file=.* must end in \.mlpackage", name)

    def test_folder_at_the_path_of_a_file(self):
        (self.folder / "x.mlmodel").mkdir()
        self.assert_rejected("--coreml_file=.*is a folder")

    def test_file_at_the_path_of_a_package(self):
        (self.folder / "x.mlpackage").touch()
        self.assert_rejected("--coreml_file=.*is a file", "x.mlpackage")

    def test_folder_with_other_files(self):
        (self.folder / "x.mlpackage").mkdir()
        (self.folder / "x.mlpackage" / "diary.txt").touch()
        self.assert_rejected("diary.txt.*would be deleted", "x.mlpackage")

    def test_existing_package(self):
        (self.folder / "x.mlpackage" / "Data").mkdir(parents=True)
        (self.folder / "x.mlpackage" / "Manifest.json").touch()
        coreml_options.check(self.folder / "x.mlpackage", CoreMLOptions())

    def test_unknown_precision(self):
        self.assert_rejected("--coreml_precision=int4 .*float16, float32", precision="int4")

    @parameterized.parameters("", "1st", "two words", "größe")
    def test_invalid_names(self, name):
        self.assert_rejected("--coreml_input=.* is not a valid Core ML name", input_name=name)
        self.assert_rejected(
            "--coreml_probabilities=.* is not a valid Core ML name", probabilities_name=name
        )

    def test_duplicate_names(self):
        self.assert_rejected(
            "--coreml_input=classLabel is already the name of another", input_name="classLabel"
        )
        self.assert_rejected(
            "--coreml_probabilities=image is already the name of another",
            probabilities_name="image",
        )


if __name__ == "__main__":
    absltest.main()

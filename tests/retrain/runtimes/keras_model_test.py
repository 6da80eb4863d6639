"""Tests that classifiers in Keras files are run, and that other Keras files are refused."""

import io
import zipfile
from pathlib import Path

import numpy as np
from absl.testing import absltest

from retrain.metadata import METADATA_FILE, MetadataError
from retrain.runtimes import keras_model
from retrain.runtimes.runtime import Description, ModelError
from tests.support import sample_classifier

_LABELS = ("red", "green", "blue")
_SIDE = 8


class KerasModelTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        import tensorflow as tf

        pixels = tf.keras.Input((_SIDE, _SIDE, 3))
        means = tf.keras.layers.GlobalAveragePooling2D()(pixels)
        cls.model = tf.keras.Model(pixels, tf.keras.layers.Softmax()(means))

    def setUp(self):
        super().setUp()
        self.path = Path(self.create_tempdir().full_path) / "model.keras"
        self.model.save(self.path)

    def describe(self, **changes) -> None:
        fields = dict(labels=_LABELS, height=_SIDE, width=_SIDE, versions={"preprocessing": 1})
        metadata = sample_classifier.classifier(**{**fields, **changes}).metadata
        with zipfile.ZipFile(self.path, "a") as archive:
            archive.writestr(METADATA_FILE, metadata.to_json())

    def load(self):
        return keras_model.load(self.path, self.path.read_bytes())

    def assert_refused(self, message: str, error: type[Exception] = ModelError) -> None:
        self.assertTrue(keras_model.is_keras(self.path.read_bytes()[:8]))
        with self.assertRaisesRegex(error, message):
            self.load()

    def test_pixels_from_0_to_255_are_classified(self):
        self.describe()
        runtime = self.load()
        self.assertEqual(
            runtime.description,
            Description(_LABELS, _SIDE, _SIDE, preprocessing_version=1, fit="stretch"),
        )
        images = np.zeros((5, _SIDE, _SIDE, 3), np.uint8)
        images[..., 1] = 3
        expected = np.exp([0, 3, 0]) / np.exp([0, 3, 0]).sum()
        np.testing.assert_allclose(runtime.run(images), [expected] * 5, rtol=1e-5)
        with self.assertRaisesRegex(ModelError, "it takes images of 8 x 8 pixels"):
            runtime.run(images[:, :7])

    def test_keras_files_of_other_programs_are_refused(self):
        self.assert_refused("without the labels and metadata that retrain adds; convert it with")

    def test_other_archives_are_refused(self):
        with zipfile.ZipFile(self.path, "w") as archive:
            archive.writestr("a.txt", "")
        self.assert_refused("^it is a ZIP archive, but not a Keras file$")

    def test_hdf5_files_are_refused(self):
        self.path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
        self.assert_refused("^it is an HDF5 file of Keras; convert it with //tools:convert$")

    def test_another_suffix_is_refused(self):
        self.describe()
        self.path = self.path.rename(self.path.with_suffix(".zip"))
        self.assert_refused("whose name must end in .keras")

    def test_a_model_that_does_not_fit_its_metadata_is_refused(self):
        self.describe(height=9)
        self.assert_refused(r"its input has the shape \(None, 8, 8, 3\), but must have \(None, 9")

    def test_a_cut_file_is_refused(self):
        self.describe()
        self.path.write_bytes(self.path.read_bytes()[:-100])
        self.assert_refused("it is a damaged ZIP archive")

    def test_damaged_layers_are_refused(self):
        self.describe()
        with zipfile.ZipFile(io.BytesIO(self.path.read_bytes())) as source:
            files = {name: source.read(name) for name in source.namelist()}
        with zipfile.ZipFile(self.path, "w") as archive:
            for name, content in {**files, "config.json": b"{}"}.items():
                archive.writestr(name, content)
        self.assert_refused("^Keras cannot read it: ")

    def test_damaged_metadata_are_refused(self):
        with zipfile.ZipFile(self.path, "a") as archive:
            archive.writestr(METADATA_FILE, "{")
        self.assert_refused("metadata cannot be read", MetadataError)


if __name__ == "__main__":
    absltest.main()

"""Tests that classifiers in SavedModels are run, and that other SavedModels are refused."""

import threading
import time
from pathlib import Path
from unittest import mock

import numpy as np
from absl.testing import absltest

from retrain.metadata import METADATA_FILE, MetadataError
from retrain.runtimes import saved_model_folder, saved_model_import
from retrain.runtimes.runtime import Description, ModelError
from retrain.system.threads import parallel_map
from tests.support import sample_classifier

_LABELS = ("red", "green", "blue")
_SIDE = 8


class SavedModelFolderTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)

    def save(self, *, signature: str = "serving_default", metadata: str | None = None) -> None:
        import tensorflow as tf

        module = tf.Module()
        module.classify = tf.function(
            lambda image: {
                "probabilities": tf.nn.softmax(tf.reduce_mean(tf.cast(image, tf.float32), [1, 2]))
            },
            [tf.TensorSpec((None, _SIDE, _SIDE, 3), tf.uint8, "image")],
        )
        tf.saved_model.save(module, str(self.folder), {signature: module.classify})
        fields = dict(labels=_LABELS, height=_SIDE, width=_SIDE, versions={"preprocessing": 1})
        plain = sample_classifier.classifier(**fields).metadata.to_json()
        (self.folder / "assets").mkdir(exist_ok=True)
        (self.folder / "assets" / METADATA_FILE).write_text(metadata or plain)

    def assert_refused(self, message: str, error: type[Exception] = ModelError) -> None:
        with self.assertRaisesRegex(error, message):
            saved_model_folder.load(self.folder)

    def test_pixels_are_classified(self):
        self.save()
        runtime = saved_model_folder.load(self.folder)
        self.assertEqual(
            runtime.description,
            Description(_LABELS, _SIDE, _SIDE, preprocessing_version=1, fit="stretch"),
        )
        self.assertFalse(runtime.takes_files)
        images = np.zeros((5, _SIDE, _SIDE, 3), np.uint8)
        images[..., 1] = 3
        expected = np.exp([0, 3, 0]) / np.exp([0, 3, 0]).sum()
        np.testing.assert_allclose(runtime.run(images), [expected] * 5, rtol=1e-5)
        with self.assertRaisesRegex(ModelError, "it takes images of 8 x 8 pixels"):
            runtime.run(images[:, :7])

    def test_only_one_thread_optimises_a_function_and_then_all_run_it(self):
        self.save()
        events: list[str] = []
        both_run = threading.Barrier(2, timeout=60)

        def signature(image):
            events.append("start")
            time.sleep(0.1) if len(events) < 4 else both_run.wait()
            events.append("end")
            return {"probabilities": image}

        loaded = mock.Mock(signatures={"serving_default": signature})
        with mock.patch.object(saved_model_import, "load", return_value=loaded):
            runtime = saved_model_folder.load(self.folder)
        images = np.zeros((1, _SIDE, _SIDE, 3), np.uint8)
        list(parallel_map(runtime.run, [images] * 2, 2))
        self.assertEqual(events, ["start", "end"] * 2)
        list(parallel_map(runtime.run, [images] * 2, 2))

    def test_other_folders_are_refused(self):
        self.assert_refused("^it is a folder without saved_model.pb, so it is not a SavedModel$")

    def test_saved_models_of_other_programs_are_refused(self):
        self.save()
        (self.folder / "assets" / METADATA_FILE).unlink()
        self.assert_refused("without the labels and metadata that retrain adds; convert it with")

    def test_a_saved_model_without_the_usual_signature_is_refused(self):
        self.save(signature="other")
        self.assert_refused("^it has no signature serving_default$")

    def test_a_damaged_saved_model_is_refused(self):
        self.save()
        file = self.folder / "saved_model.pb"
        file.write_bytes(file.read_bytes()[:1000])
        self.assert_refused("^TensorFlow cannot load it: ")

    def test_damaged_metadata_are_refused(self):
        self.save(metadata="{")
        self.assert_refused("metadata cannot be read", MetadataError)


if __name__ == "__main__":
    absltest.main()

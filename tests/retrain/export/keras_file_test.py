"""Tests that a Keras file loads without this program and computes the head's probabilities."""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from absl.testing import absltest

from retrain import metadata
from retrain.errors import UserError
from retrain.export import keras_file
from tests.support import sample_classifier

_PLAIN_KERAS = """
import sys
import keras
import numpy as np

model = keras.models.load_model(sys.argv[1])
assert not [name for name in sys.modules if name.split(".")[0] == "retrain"]
for layer in model._flatten_layers():
    assert type(layer).__module__.startswith("keras."), layer
assert model.trainable_weights
np.save(sys.argv[3], model.predict(np.load(sys.argv[2]), verbose=0))
print(model.input_shape, model.output_shape)
"""


class KerasFileTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = tempfile.mkdtemp()
        cls.addClassCleanup(shutil.rmtree, folder)
        cls.path = Path(folder, "model.keras")
        cls.classifier = sample_classifier.classifier()
        keras_file.write(cls.path, cls.classifier)
        cls.images = sample_classifier.images(3)
        features = sample_classifier.features(cls.images)
        cls.expected = cls.classifier.head.probabilities(features)

    def test_plain_keras_computes_the_probabilities_of_the_head(self):
        folder = Path(self.create_tempdir().full_path)
        images, probabilities = folder / "images.npy", folder / "probabilities.npy"
        np.save(images, self.images)
        packages = [path for path in sys.path if not Path(path, "retrain").is_dir()]
        done = subprocess.run(
            [sys.executable, "-c", _PLAIN_KERAS, self.path, images, probabilities],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(packages)},
            cwd=folder,
            capture_output=True,
            text=True,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("(None, 224, 224, 3) (None, 3)", done.stdout)
        np.testing.assert_allclose(np.load(probabilities), self.expected, atol=1e-4)

    def test_load_matches_head(self):
        loaded = keras_file.load(self.path)
        np.testing.assert_allclose(loaded.run(self.images), self.expected, atol=1e-4)
        self.assertFalse(loaded.takes_files)

    def test_archive_contains_labels_and_metadata(self):
        with zipfile.ZipFile(self.path) as archive:
            labels = archive.read("labels.txt").decode()
            text = archive.read("retrain_metadata.json")
        self.assertEqual(labels, "red\ngrün\nblue sky\n")
        self.assertEqual(metadata.from_json(text), self.classifier.metadata)

    def test_equal_classifiers_make_identical_files(self):
        again = Path(self.create_tempdir().full_path) / "again.keras"
        keras_file.write(again, self.classifier)
        self.assertEqual(again.read_bytes(), self.path.read_bytes())

    def test_bgr_network_accepts_rgb(self):
        path = Path(self.create_tempdir().full_path) / "bgr.keras"
        keras_file.write(path, sample_classifier.classifier(channel_order="BGR"))
        swapped = keras_file.load(path).run(self.images[..., ::-1])
        np.testing.assert_allclose(swapped, self.expected, atol=1e-4)

    def test_other_suffixes_are_rejected(self):
        with self.assertRaisesRegex(UserError, "--keras_file=/a/model.h5 must end in \\.keras"):
            keras_file.check(Path("/a/model.h5"), "efficientnet_lite0", has_keras_network=True)

    def test_backbone_without_keras_network_is_rejected(self):
        with self.assertRaisesRegex(
            UserError, "graphs_only is not made of Keras layers; .*--saved_model_dir"
        ):
            keras_file.check(Path("/a/model.keras"), "graphs_only", has_keras_network=False)
        keras_file.check(Path("/a/model.keras"), "efficientnet_lite0", has_keras_network=True)


if __name__ == "__main__":
    absltest.main()

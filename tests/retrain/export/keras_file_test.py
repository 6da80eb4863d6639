"""A Keras file opens with Keras alone, and answers as the head does."""

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

_LIKE_ANYBODY = """
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

    def test_plain_keras_opens_it_and_gives_the_answer_of_the_head(self):
        folder = Path(self.create_tempdir().full_path)
        images, answers = folder / "pictures.npy", folder / "answers.npy"
        np.save(images, self.images)
        places = [path for path in sys.path if not Path(path, "retrain").is_dir()]
        found = subprocess.run(
            [sys.executable, "-c", _LIKE_ANYBODY, self.path, images, answers],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(places)},
            cwd=folder,
            capture_output=True,
            text=True,
        )
        self.assertEqual(found.returncode, 0, found.stderr)
        self.assertIn("(None, 224, 224, 3) (None, 3)", found.stdout)
        np.testing.assert_allclose(np.load(answers), self.expected, atol=1e-4)

    def test_it_is_read_back_with_the_answer_of_the_head(self):
        answers = keras_file.load(self.path)
        np.testing.assert_allclose(answers.from_pixels(self.images), self.expected, atol=1e-4)
        self.assertIsNone(answers.from_file)

    def test_labels_and_metadata_are_in_the_archive(self):
        with zipfile.ZipFile(self.path) as archive:
            labels = archive.read("labels.txt").decode()
            text = archive.read("retrain_metadata.json")
        self.assertEqual(labels, "red\ngrün\nblue sky\n")
        self.assertEqual(metadata.from_json(text), self.classifier.metadata)

    def test_the_same_classifier_gives_the_same_bytes(self):
        again = Path(self.create_tempdir().full_path) / "again.keras"
        keras_file.write(again, self.classifier)
        self.assertEqual(again.read_bytes(), self.path.read_bytes())

    def test_a_network_for_another_order_of_channels_takes_rgb_too(self):
        path = Path(self.create_tempdir().full_path) / "bgr.keras"
        keras_file.write(path, sample_classifier.classifier(channel_order="BGR"))
        swapped = keras_file.load(path).from_pixels(self.images[..., ::-1])
        np.testing.assert_allclose(swapped, self.expected, atol=1e-4)

    def test_names_that_keras_does_not_open_are_refused(self):
        with self.assertRaisesRegex(UserError, "--keras_file=/a/model.h5 must end in .keras"):
            keras_file.check(Path("/a/model.h5"), "efficientnet_lite0", has_network=True)

    def test_a_backbone_without_layers_of_keras_is_refused(self):
        with self.assertRaisesRegex(UserError, "--architecture=graphs_only"):
            keras_file.check(Path("/a/model.keras"), "graphs_only", has_network=False)
        keras_file.check(Path("/a/model.keras"), "efficientnet_lite0", has_network=True)


if __name__ == "__main__":
    absltest.main()

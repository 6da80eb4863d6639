"""Tests that a classifier becomes a Core ML file with its scores and its description."""

import dataclasses
import shutil
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized

from retrain.export import coreml, coreml_options
from retrain.export.coreml_reference import layers, model, operations
from retrain.export.coreml_reference.errors import UnsupportedOperationError
from retrain.metadata import from_json
from retrain.output_options import CoreMLOptions
from tests.support import sample_classifier


class ClassifierTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.classifier = sample_classifier.classifier(test_accuracy=0.954)
        cls.images = sample_classifier.images(6)
        features = sample_classifier.features(cls.images)
        cls.expected = cls.classifier.head.probabilities(features)
        options = CoreMLOptions(author="Ada", license="MIT", version="2.1")
        cls.written = {}
        for suffix in (coreml_options.ML_PROGRAM_SUFFIX, coreml_options.NEURAL_NETWORK_SUFFIX):
            for precision in coreml_options.PRECISIONS:
                path = cls.folder / f"{precision}{suffix}"
                if suffix == coreml_options.ML_PROGRAM_SUFFIX:
                    path.mkdir()
                options = dataclasses.replace(options, precision=precision)
                coreml.write(path, cls.classifier, options)
                cls.written[path.name] = path

    @parameterized.product(
        suffix=(coreml_options.ML_PROGRAM_SUFFIX, coreml_options.NEURAL_NETWORK_SUFFIX),
        precision=coreml_options.PRECISIONS,
    )
    def test_file_matches_head(self, suffix, precision):
        loaded = coreml.load(self.written[f"{precision}{suffix}"])
        difference = np.abs(loaded.run(self.images) - self.expected).max()
        self.assertLess(difference, 1e-5 if precision == coreml_options.FLOAT32 else 1e-2)
        self.assertFalse(loaded.takes_files)

    @parameterized.parameters("float16.mlpackage", "float16.mlmodel")
    def test_descriptions(self, name):
        loaded = model.load(self.written[name])
        description = loaded.spec.description
        self.assertEqual(loaded.labels, sample_classifier.LABELS)
        self.assertEqual(description.metadata.author, "Ada")
        self.assertEqual(description.metadata.license, "MIT")
        self.assertEqual(description.metadata.versionString, "2.1")
        self.assertIn("red, grün, blue sky", description.metadata.shortDescription)
        self.assertIn("95.4%", description.metadata.shortDescription)
        self.assertIn("224 x 224", description.input[0].shortDescription)
        self.assertIn("aspect ratio", description.input[0].shortDescription)
        for output in description.output:
            self.assertTrue(output.shortDescription, output.name)
        fields = description.metadata.userDefined
        self.assertEqual(from_json(fields["retrain_metadata"]), self.classifier.metadata)
        self.assertEqual(fields["com.apple.coreml.model.preview.type"], "imageClassifier")

    @parameterized.parameters(
        ("float16.mlpackage", operations.OPERATIONS, "softmax", "ML Program operations softmax"),
        ("float16.mlmodel", layers.LAYERS, "softmaxND", "neural network layers softmaxND"),
    )
    def test_operation_that_the_reference_lacks_is_named(self, name, table, operation, message):
        with mock.patch.dict(table):
            del table[operation]
            with self.assertRaisesRegex(UnsupportedOperationError, f"^{message}$"):
                coreml.load(self.written[name])

    def test_no_temporary_files_remain(self):
        package = self.written["float16.mlpackage"]
        self.assertEqual({p.name for p in package.iterdir()}, coreml_options.CONTENTS)
        self.assertEqual({p.name for p in self.folder.iterdir()}, set(self.written))

    def test_description_of_many_labels_is_their_number(self):
        labels = tuple(f"label {number}" for number in range(50))
        self.assertEqual(coreml.describe(labels, None), "Labels images with one of 50 labels.")


if __name__ == "__main__":
    absltest.main()

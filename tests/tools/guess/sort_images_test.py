"""Tests that images are sorted with classifiers that are files and with those that are folders."""

from pathlib import Path

from absl.testing import absltest

from label_image.classifier import Prediction
from tools.guess.options import Options
from tools.guess.sort_images import sort_images


class _OneLabelClassifier:
    labels = ("a", "b")

    def classify(self, sources):
        for source in sources:
            yield Prediction(source, (("a", 0.9), ("b", 0.1)))


class SortImagesTest(absltest.TestCase):
    def test_the_classifier_can_be_a_file_or_a_folder(self):
        folder = Path(self.create_tempdir().full_path)
        file, saved_model = folder / "graph.pb", folder / "saved"
        file.write_bytes(b"x")
        saved_model.mkdir()
        (saved_model / "saved_model.pb").write_bytes(b"x")
        source = folder / "source"
        source.mkdir()
        (source / "0.jpg").write_bytes(b"y")
        for graph in (file, saved_model):
            target = folder / f"sorted with {graph.name}"
            options = Options(source=source, target=target, by_folder=True)
            self.assertEqual(sort_images(options, graph, _OneLabelClassifier()).num_failed, 0)
            self.assertTrue((target / "a" / "0.jpg").is_file())


if __name__ == "__main__":
    absltest.main()

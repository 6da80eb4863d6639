"""--fit is for classifiers whose file does not state how images are resized."""

from pathlib import Path

from absl.testing import absltest, parameterized
from PIL import Image

from label_image.classifier import Classifier, Overrides
from retrain.errors import UserError
from retrain.export import frozen_graph
from retrain.metadata import CROP, PAD, STRETCH
from tests.support import old_graphs, sample_classifier, tflite_models


class FitTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.labels = self.folder / "channels.txt"
        self.labels.write_text("red\ngreen\nblue\n")
        self.foreign = self.folder / "identity.tflite"
        self.foreign.write_bytes(tflite_models.identity((1, 1, 1, 3)))

    def load(self, graph: Path, fit: str | None, **others) -> Classifier:
        return Classifier(graph, overrides=Overrides(labels_file=self.labels, fit=fit, **others))

    @parameterized.parameters((None, 1 / 3), (STRETCH, 1 / 3), (CROP, 0))
    def test_it_selects_what_the_network_sees(self, fit, expected):
        image = Image.new("RGB", (90, 30), "blue")
        image.paste("red", (0, 0, 30, 30))
        path = self.folder / "wide.png"
        image.save(path)
        scores = dict(self.load(self.foreign, fit).classify_one(path).ranked)
        self.assertAlmostEqual(scores["red"], expected, delta=0.05)

    def test_it_is_used_for_heat_maps_too(self):
        self.assertEqual(self.load(self.foreign, PAD).decoding.fit, PAD)

    def test_a_file_that_states_another_value_is_refused(self):
        graph = self.folder / "graph.pb"
        frozen_graph.write(graph, sample_classifier.classifier())
        with self.assertRaisesRegex(
            UserError,
            rf"^--fit=pad contradicts --graph={graph}, which was trained with --fit=stretch; .*$",
        ):
            self.load(graph, PAD)
        self.assertEqual(self.load(graph, STRETCH).decoding.fit, STRETCH)

    def test_a_graph_that_decodes_files_itself_does_not_take_it(self):
        graph = self.folder / "inception.pb"
        graph.write_bytes(old_graphs.inception().SerializeToString())
        with self.assertRaisesRegex(
            UserError, rf"^--fit=crop is for networks that take pixels, but {graph} decodes .*$"
        ):
            self.load(graph, CROP, output_layer="softmax")


if __name__ == "__main__":
    absltest.main()

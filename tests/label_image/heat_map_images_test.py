"""Heat maps are drawn over the upright image, and their files are recognised."""

import io
import shutil
import tempfile
from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized
from PIL import Image

from label_image.classifier import Classifier, Overrides
from label_image.heat_map_images import HeatMapImages, is_heat_map, to_png
from retrain.data.pixels import UnreadableImageError
from retrain.errors import UserError
from retrain.export import frozen_graph
from tests.support import old_graphs, sample_classifier, small_keras

_BLOCKS = Path("examples/blocks/ones/ones_001.jpg")


class HeatMapImagesTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        graph = cls.folder / "graph.pb"
        frozen_graph.write(graph, sample_classifier.classifier())
        cls.images = HeatMapImages(Classifier(graph))

    def encode(self, image: Image.Image, **options) -> bytes:
        file = io.BytesIO()
        image.save(file, "JPEG", **options)
        return file.getvalue()

    def test_the_image_is_upright(self):
        with Image.open(_BLOCKS) as image:
            exif = image.getexif()
            exif[0x0112] = 6  # Turned by 90 degrees.
            (turned,) = self.images.draw(self.encode(image, exif=exif), ["red"])
            self.assertGreater(image.width, image.height)
        self.assertEqual(turned.size, (240, 320))

    @parameterized.parameters(((100, 50), (320, 160)), ((3000, 1500), (1024, 512)), ((1, 999), 0))
    def test_small_images_are_enlarged_and_large_ones_are_reduced(self, size, expected):
        (drawn,) = self.images.draw(self.encode(Image.new("RGB", size)), ["red"])
        self.assertEqual(drawn.size, expected or size)

    def test_each_label_has_a_heat_map(self):
        red, green = self.images.draw(_BLOCKS, ["red", "grün"])
        self.assertEqual(red.size, green.size)
        self.assertFalse(np.array_equal(red, green))

    def test_files_have_a_legend_and_are_recognised(self):
        (drawn,) = self.images.draw(_BLOCKS, ["red"])
        with Image.open(io.BytesIO(to_png(drawn))) as file:
            self.assertTrue(is_heat_map(file))
            self.assertEqual(file.width, drawn.width)
            self.assertGreater(file.height, drawn.height)
            legend = np.asarray(file)[drawn.height :]
            self.assertFalse((legend == 255).all())
        with Image.open(_BLOCKS) as image:
            self.assertFalse(is_heat_map(image))

    def test_an_image_can_be_narrower_than_the_legend(self):
        to_png(Image.new("RGB", (1, 999)))

    def test_unreadable_images_and_unknown_labels_are_refused(self):
        with self.assertRaises(UnreadableImageError):
            self.images.draw(b"hello", ["red"])
        with self.assertRaises(UnreadableImageError):
            self.images.draw(self.folder / "none.jpg", ["red"])
        with self.assertRaisesRegex(UserError, "--label=pink is not .*red, grün, blue sky"):
            self.images.check_label("pink", "label")

    def test_graphs_that_decode_files_themselves_are_drawn(self):
        path = self.folder / "2015.pb"
        old_graphs.write(path, old_graphs.retrained(old_graphs.inception()))
        path.with_suffix(".txt").write_text("a\nb\nc\n")
        overrides = Overrides(labels_file=path.with_suffix(".txt"))
        images = HeatMapImages(Classifier(path, overrides=overrides))
        (drawn,) = images.draw(_BLOCKS, ["b"])
        self.assertEqual(drawn.size, (320, 240))
        truncated = _BLOCKS.read_bytes()[:-2000]
        for damaged in (b"hello", truncated):
            with self.assertRaises(UnreadableImageError):
                images.draw(damaged, ["b"])

    def test_networks_without_heat_maps_are_refused(self):
        path = self.folder / "flat.pb"
        small_keras.write_frozen_graph(path, small_keras.build_model())
        labels = self.folder / "labels.txt"
        labels.write_text("a\nb\nc\n")
        classifier = Classifier(path, overrides=Overrides(labels_file=labels))
        with self.assertRaisesRegex(UserError, "heat maps cannot be drawn: .*MaxPool"):
            HeatMapImages(classifier)


if __name__ == "__main__":
    absltest.main()

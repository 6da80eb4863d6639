"""The server draws heat maps, on request and on the page of browsers without JavaScript."""

import base64
import io
import re
import shutil
import tempfile
import threading
from pathlib import Path
from unittest import mock

import numpy as np
from absl.testing import absltest
from PIL import Image

from label_image import heat_map_images
from retrain.heat_maps.pooled_layers import NoHeatMapError
from tests.support import server_process
from tools.server import app
from tools.server.metrics import ServerMetrics
from tools.server.served_heat_maps import ServedHeatMaps
from tools.server.served_model import ServedModel
from tools.server.work_queue import WorkQueue

_BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def _image(size: tuple[int, int] = (40, 30)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, "red").save(file, "PNG")
    return file.getvalue()


class HeatMapsTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, folder)
        graph, cls.images = server_process.train_colours(folder)
        cls.model = ServedModel(graph)

    def setUp(self):
        super().setUp()
        queue = WorkQueue(workers=2, max_waiting=0, timeout=5)
        limits = app.Limits(max_body_bytes=100_000, top=2)
        metrics = ServerMetrics(self.model, queue)
        self.client = app.create_app(self.model, queue, limits, metrics).test_client()

    def send(self, *files: bytes, path: str, **options):
        data = {"image": [(io.BytesIO(content), "a.png") for content in files]}
        return self.client.post(path, data=data, content_type="multipart/form-data", **options)

    def assert_error(self, response, status: int, part: str) -> None:
        self.assertEqual(response.status_code, status, response.data)
        self.assertIn(part, response.json["error"])

    def test_a_heat_map_is_an_upright_jpeg_image(self):
        image = Image.new("RGB", (60, 30), "red")
        exif = image.getexif()
        exif[0x0112] = 6  # Turned by 90 degrees.
        file = io.BytesIO()
        image.save(file, "JPEG", exif=exif)
        response = self.client.post("/heatmap", data=file.getvalue(), content_type="image/jpeg")
        self.assertEqual((response.status_code, response.mimetype), (200, "image/jpeg"))
        with Image.open(io.BytesIO(response.data)) as drawn:
            self.assertEqual(drawn.height, 2 * drawn.width)

    def test_labels_have_different_heat_maps(self):
        image = (self.images / "Red/0.jpg").read_bytes()
        best, red, blue = (
            self.send(image, path=path).data
            for path in ("/heatmap", "/heatmap?label=red", "/heatmap?label=blue")
        )
        self.assertEqual(best, red)
        self.assertNotEqual(red, blue)

    def test_bad_requests_are_answered_in_one_line(self):
        self.assert_error(self.send(_image(), path="/heatmap?label=pink"), 400, "/labels lists")
        self.assert_error(self.send(_image(), _image(), path="/heatmap"), 400, "but got 2")
        self.assert_error(self.send(b"hello", path="/heatmap"), 422, "not a JPEG")
        self.assert_error(self.send(b"hello", path="/heatmap?label=red"), 422, "not a JPEG")
        self.assertEqual(self.client.get("/heatmap").status_code, 405)

    def test_a_network_without_heat_maps_is_named_on_the_page_and_in_json(self):
        error = NoHeatMapError("the network pools otherwise")
        with mock.patch.object(heat_map_images, "HeatMaps", side_effect=error) as heat_maps:
            self.assert_error(self.send(_image(), path="/heatmap"), 404, "pools otherwise")
            page = self.send(_image(), path="/?heatmaps=1", headers=_BROWSER)
        self.assertEqual(page.status_code, 200)
        self.assertIn("the network pools otherwise", page.text)
        self.assertEqual(heat_maps.call_count, 1, "the network is examined once")

    def test_the_page_has_heat_maps_only_if_the_form_asks_for_them(self):
        urls = r'class="heat-map" src="data:image/jpeg;base64,([^"]+)"'
        plain = self.send(_image(), path="/", headers=_BROWSER).text
        self.assertEmpty(re.findall(urls, plain))
        with_maps = self.send(_image(), path="/?heatmaps=1", headers=_BROWSER).text
        first, second = re.findall(urls, with_maps)
        for url in (first, second):
            with Image.open(io.BytesIO(base64.b64decode(url))) as drawn:
                self.assertEqual(drawn.size, (320, 240))
        self.assertNotEqual(first, second)
        self.assertIn('alt="Heat map: where the image looks like red"', with_maps)

    def test_large_images_are_drawn_small(self):
        response = self.send(_image((2000, 1000)), path="/heatmap")
        with Image.open(io.BytesIO(response.data)) as drawn:
            self.assertEqual(drawn.size, (480, 240))

    def test_a_new_classifier_gets_heat_maps_of_its_own(self):
        served, seen = ServedHeatMaps(), []
        classifiers = [mock.Mock(labels=("a",)) for _ in range(2)]

        def prepare(classifier):
            seen.append(classifier)
            drawn = [Image.fromarray(np.zeros((4, 4, 3), np.uint8))]
            return mock.Mock(draw=mock.Mock(return_value=drawn))

        with mock.patch("tools.server.served_heat_maps.HeatMapImages", side_effect=prepare):
            for classifier in (classifiers[0], classifiers[0], classifiers[1]):
                threads = [
                    threading.Thread(target=served.draw_one, args=(classifier, b"", "a"))
                    for _ in range(4)
                ]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
        self.assertEqual(seen, classifiers)


if __name__ == "__main__":
    absltest.main()

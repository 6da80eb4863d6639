"""Every request gets the result and the status that /openapi.json documents."""

import dataclasses
import io
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

from absl.testing import absltest, parameterized
from PIL import Image
from pillow_heif import register_heif_opener

from retrain.data.image_limits import ImageLimits
from retrain.data.pixels import UnreadableImageError
from tests.support import server_process
from tools.server import app, request_images
from tools.server.admin_app import create_admin_app
from tools.server.metrics import ServerMetrics
from tools.server.served_model import ServedModel
from tools.server.work_queue import WorkQueue

register_heif_opener()

_BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
_IMAGE_LIMITS = dataclasses.replace(ImageLimits(), pixels=1_000_000)


def _image(colour: str = "red", size: tuple[int, int] = (40, 30), kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, kind)
    return file.getvalue()


def _bomb() -> bytes:
    """Returns a PNG file of 50 kB with 20,000 x 20,000 pixels."""
    file = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(file, "PNG")
    return file.getvalue()


def _many_scans() -> bytes:
    """Returns a JPEG file in which the last scan is repeated 200 times."""
    file = io.BytesIO()
    Image.new("RGB", (40, 30)).save(file, "JPEG", progressive=True)
    whole = file.getvalue()
    last = whole.rindex(b"\xff\xda")
    return whole[:last] + 200 * whole[last:-2] + whole[-2:]


class AppTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, folder)
        graph, _ = server_process.train_colours(folder)
        cls.model = ServedModel(graph, limits=_IMAGE_LIMITS)

    def setUp(self):
        super().setUp()
        self.queue = WorkQueue(workers=2, max_waiting=0, timeout=5, job_seconds=0.05)
        self.metrics = ServerMetrics(self.model, self.queue)
        self.client = self.create_client()
        self.admin = create_admin_app(
            self.model, self.queue, self.metrics, host="127.0.0.1"
        ).test_client()

    def create_client(self, **limits: Any):
        all_limits = app.Limits(max_body_bytes=100_000, images=_IMAGE_LIMITS, top=2, **limits)
        return app.create_app(self.model, self.queue, all_limits, self.metrics).test_client()

    def send(self, *files: tuple[str, bytes], path: str = "/", field: str = "image", **options):
        data = {field: [(io.BytesIO(content), name) for name, content in files]}
        return self.client.post(path, data=data, content_type="multipart/form-data", **options)

    def assert_error(self, response, status: int, part: str) -> None:
        self.assertEqual(response.status_code, status, response.data)
        self.assertEqual(response.json["status"], status)
        self.assertIn(part, response.json["error"])

    def test_all_images_of_a_form_are_labelled(self):
        response = self.send(("a.png", _image()), ("b.jpg", _image("blue", kind="JPEG")))
        self.assertEqual(response.status_code, 200)
        first, second = response.json["images"]
        self.assertEqual((first["name"], second["name"]), ("a.png", "b.jpg"))
        self.assertEqual(first["labels"][0]["label"], "red")
        self.assertEqual(second["labels"][0]["label"], "blue")
        self.assertLen(first["labels"], 3)
        self.assertAlmostEqual(sum(label["score"] for label in first["labels"]), 1, places=4)
        self.assertGreater(first["milliseconds"], 0)

    def test_older_keys_of_the_json_hold_the_same_values(self):
        response = self.send(("a.png", _image()), ("notes.txt", b"hello"))
        self.assertEqual(response.json["pictures"], response.json["images"])
        for result in response.json["images"]:
            self.assertEqual(result["name"], result["image"])
        good, bad = response.json["images"]
        self.assertEqual(good["predictions"], good["labels"])
        for label in good["labels"]:
            self.assertAlmostEqual(label["percentage"], 100 * label["score"], places=2)
        self.assertEqual(set(bad), {"image", "name", "error"})

    def test_a_request_body_can_be_an_image(self):
        for kind in ("PNG", "JPEG", "BMP", "GIF", "WEBP", "HEIF", "AVIF"):
            image = _image("green", kind=kind)
            response = self.client.post("/?top=1", data=image, content_type="image/x-any")
            (found,) = response.json["images"]
            self.assertEqual([label["label"] for label in found["labels"]], ["green"], kind)

    def test_one_unreadable_image_does_not_affect_the_others(self):
        response = self.send(("notes.txt", b"hello"), ("a.png", _image()), ("none.png", b""))
        self.assertEqual(response.status_code, 200)
        bad, good, empty = response.json["images"]
        self.assertIn("not a JPEG", bad["error"])
        self.assertEqual(good["labels"][0]["label"], "red")
        self.assertIn("error", empty)

    @parameterized.named_parameters(
        ("head", lambda: b"GIF89a", "damaged"),
        ("text", lambda: b"no image", "not a JPEG"),
        ("truncated", lambda: _image()[:60], "damaged"),
        ("bomb", _bomb, "20000 x 20000 pixels, more than the maximum of 1,000,000"),
        ("large", lambda: _image(size=(1001, 1000)), "1001 x 1000 pixels"),
        ("scans", _many_scans, "more than 100 scans"),
    )
    def test_unreadable_and_dangerous_images_get_status_422(self, make_data, part: str):
        response = self.client.post("/", data=make_data(), content_type="image/png")
        self.assert_error(response, 422, part)
        self.assertNotIn("labels", response.json["images"][0])

    def test_the_maximum_number_of_pixels_is_allowed(self):
        response = self.send(("a.png", _image(size=(1000, 1000))))
        self.assertEqual(response.status_code, 200)

    @parameterized.parameters(
        ("GET", "/nothing", None, None, 404, "not found"),
        ("PUT", "/", b"x", "image/png", 405, "method"),
        ("POST", "/labels", b"x", "image/png", 405, "method"),
        ("POST", "/", b"{}", "application/json", 415, "got application/json"),
        ("POST", "/", b"x", None, 415, "no content type"),
        ("POST", "/", b"", "image/png", 400, "no image"),
        ("POST", "/", b"", "multipart/form-data; boundary=x", 400, "no image"),
        ("POST", "/", b"x", "multipart/form-data", 400, "boundary"),
        ("POST", "/", bytes(100_001), "image/png", 413, ""),
        ("POST", "/?top=0", b"x", "image/png", 400, "top"),
        ("POST", "/?top=-1", b"x", "image/png", 400, "top"),
        ("POST", "/?top=five", b"x", "image/png", 400, "top"),
        ("POST", "/?top=²", b"x", "image/png", 400, "top"),
        ("POST", "/?top=", b"x", "image/png", 400, "top"),
    )
    def test_bad_requests_get_their_status_and_a_reason(
        self, method, path, data, content_type, status, part
    ):
        response = self.client.open(path, method=method, data=data, content_type=content_type)
        self.assert_error(response, status, part)

    def test_wrong_fields_and_too_many_files_are_refused(self):
        self.assert_error(self.send(("a.png", _image()), field="file"), 400, "named image")
        many = [(f"{i}.png", b"x") for i in range(121)]
        self.assert_error(self.send(*many), 413, "more than 120 parts")
        self.assert_error(self.send(*many[:101]), 413, "more than 100")

    def test_a_response_to_a_wrong_method_lists_the_allowed_methods(self):
        self.assertIn("POST", self.client.delete("/").headers["Allow"])

    def test_a_full_queue_refuses_images_but_reports_its_state(self):
        with self.queue.admit("a"), self.queue.admit("b"):
            response = self.send(("a.png", _image()))
            self.assert_error(response, 503, "busy")
            self.assertGreaterEqual(int(response.headers["Retry-After"]), 1)
            self.assertEqual(self.client.get("/healthz").json, {"status": "ok"})
            self.assertIn("serve_waiting_requests 2.0", self.admin.get("/metrics").text)
        self.assertEqual(self.send(("a.png", _image())).status_code, 200)

    def test_a_browser_without_javascript_gets_a_page(self):
        response = self.send(("<b>&.png", _image()), ("x.txt", b"x"), headers=_BROWSER)
        self.assertEqual(response.mimetype, "text/html")
        self.assertIn("<title>red –", response.text)
        self.assertIn("&lt;b&gt;&amp;.png", response.text)
        self.assertNotIn("<b>", response.text)
        self.assertIn('src="data:image/jpeg;base64,', response.text)
        self.assertIn("not a JPEG", response.text)
        self.assertEqual(response.text.count("<meter"), 2 + 1 + 1)

    def with_familiarity(self, familiarity: float | None, *, is_unknown: bool) -> Any:
        """Makes the classifier return the labels of an image with another familiarity."""
        prediction = self.model.classifier.classify_one(_image())
        changed = dataclasses.replace(prediction, familiarity=familiarity, is_unknown=is_unknown)
        return mock.patch.object(self.model.classifier, "classify_one", return_value=changed)

    def test_an_image_of_none_of_the_classes_is_marked_and_counted(self):
        with self.with_familiarity(0.0012345678, is_unknown=True):
            (result,) = self.send(("a.png", _image())).json["images"]
            page = self.send(("a.png", _image()), headers=_BROWSER).text
        self.assertEqual((result["familiarity"], result["unknown"]), (0.00123457, True))
        self.assertEqual(result["labels"][0]["label"], "red")
        self.assertIn("<title>None of these classes –", page)
        self.assertIn('<h3 class="top-label">None of these classes</h3>', page)
        self.assertIn('<p class="explanation">', page)
        with self.with_familiarity(0.5, is_unknown=False):
            (result,) = self.send(("a.png", _image())).json["images"]
            page = self.send(("a.png", _image()), headers=_BROWSER).text
        self.assertEqual((result["familiarity"], result["unknown"]), (0.5, False))
        self.assertNotIn("None of these classes", page)
        self.assertNotIn('<p class="explanation">', page)
        metrics = self.admin.get("/metrics").text
        self.assertIn("serve_unknown_images_total 2.0", metrics)
        self.assertIn('serve_pictures_total{result="labelled"} 4.0', metrics)

    def test_a_classifier_without_familiarity_gives_the_answers_of_earlier_versions(self):
        with self.with_familiarity(None, is_unknown=False):
            (result,) = self.send(("a.png", _image())).json["images"]
        self.assertNoCommonElements(result, ["familiarity", "unknown"])

    def test_an_image_without_a_thumbnail_is_labelled_on_the_page(self):
        unreadable = UnreadableImageError("it is damaged")
        with mock.patch.object(request_images, "thumbnail", side_effect=unreadable):
            response = self.send(("a.png", _image()), headers=_BROWSER)
        self.assertEqual(response.status_code, 200)
        self.assertIn("<title>red –", response.text)
        self.assertNotIn('src="data:', response.text)

    def test_a_browser_that_sends_no_file_gets_an_error_page(self):
        response = self.send(("", b""), headers=_BROWSER)
        self.assertEqual((response.status_code, response.mimetype), (400, "text/html"))
        self.assertIn("there is no image", response.text)

    def test_the_page_uses_no_other_host_and_no_inline_code(self):
        response = self.client.get("/")
        policy = response.headers["Content-Security-Policy"]
        self.assertIn("default-src 'none'", policy)
        self.assertNotIn("unsafe", policy)
        for text in (
            response.text,
            *(self.client.get(f"/static/page.{x}").text for x in ("css", "js")),
        ):
            self.assertNotRegex(text, r"(?i)https?://|<script>|<style| style=| on[a-z]+=|@import")

    def test_labels_readiness_and_metrics_are_reported(self):
        self.assertEqual(self.client.get("/labels").json, {"labels": ["blue", "green", "red"]})
        ready = self.admin.get("/readyz").json
        self.assertEqual((ready["status"], ready["reload_error"]), ("ready", ""))
        self.assertEqual(ready["graph"], str(self.model.graph))
        self.send(("a.png", _image()), ("b.png", b"x"))
        self.client.get("/no/such/place")
        metrics = self.admin.get("/metrics").text
        self.assertIn('serve_pictures_total{result="labelled"} 1.0', metrics)
        self.assertIn('serve_pictures_total{result="unreadable"} 1.0', metrics)
        self.assertIn('serve_requests_total{method="POST",route="/",status="200"} 1.0', metrics)
        self.assertIn('route="none",status="404"', metrics)
        self.assertIn("serve_model_loaded_timestamp_seconds", metrics)

    def test_clients_do_not_get_metrics_or_details_of_the_state(self):
        self.assert_error(self.client.get("/metrics"), 404, "not found")
        self.assertEqual(self.client.get("/readyz").json, {"status": "ready"})

    def test_health_checks_fail_while_a_worker_is_stuck(self):
        with self.queue.admit("a") as ticket, ticket.worker():
            time.sleep(0.06)
            for client in (self.client, self.admin):
                for path in ("/healthz", "/readyz"):
                    self.assert_error(client.get(path), 503, "takes too long")
            self.assertIn("reload_error", self.admin.get("/readyz").json)
        self.assertEqual(self.client.get("/healthz").json, {"status": "ok"})

    def test_no_answer_is_stored_except_files_that_never_change(self):
        for path in ("/", "/labels", "/healthz", "/nothing", "/openapi.json"):
            self.assertEqual(self.client.get(path).headers["Cache-Control"], "no-store", path)
        self.assertEqual(self.send(("a.png", _image())).headers["Cache-Control"], "no-store")
        self.assertEqual(self.admin.get("/metrics").headers["Cache-Control"], "no-store")

    def test_requests_for_hosts_that_are_not_allowed_are_refused(self):
        client = self.create_client(allowed_hosts=("photos.example.org", ".local"))
        for host in ("photos.example.org", "photos.example.org:5000", "a.local"):
            self.assertEqual(client.get("/labels", headers={"Host": host}).status_code, 200, host)
        for host in ("other.example.org", "127.0.0.1"):
            for path in ("/labels", "/", "/nothing"):
                response = client.get(path, headers={"Host": host})
                self.assert_error(response, 400, "is not trusted")

    def test_the_description_lists_every_path(self):
        described = self.client.get("/openapi.json").json["paths"]
        rules = {rule.rule for rule in self.client.application.url_map.iter_rules()}
        self.assertEqual(set(described), rules - {"/static/<path:filename>", "/favicon.ico"})

    def test_each_request_is_logged_in_one_line(self):
        with self.assertLogs(level="INFO") as logs:
            self.send(("a.png", _image()))
            self.client.get("/nothing?a=b")
        first, second = logs.output
        self.assertRegex(first, r'"POST /" 200 \d+ bytes, .* ms, images: 1$')
        self.assertRegex(second, r'"GET /nothing\?a=b" 404 ')


if __name__ == "__main__":
    absltest.main()

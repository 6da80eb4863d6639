"""The page shows the right label, however an image gets there: drop, choice, paste, no script."""

import os
import shutil
import tempfile
from pathlib import Path

from absl.testing import absltest

from tests.support import chromium, natural_images, server_process

_PROGRAM = chromium.find()
_TOP_LABELS = "[...document.querySelectorAll('.card .top-label')].map((e) => e.textContent).join()"
_PASTE = """
fetch("{icon}").then((response) => response.blob()).then((blob) => {{
  const data = new DataTransfer();
  data.items.add(new File([blob], "pasted.svg", {{ type: blob.type }}));
  document.dispatchEvent(new ClipboardEvent("paste", {{ clipboardData: data }}));
}}), 0
"""


@absltest.skipUnless(_PROGRAM, "no Chromium here; install it, or run as root with CI set")
class ServeBrowserTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, folder)
        graph, cls.images = server_process.train_colours(folder)
        cls.server = cls.enter_context(server_process.ServerProcess(graph))
        cls.url = f"http://127.0.0.1:{cls.server.port}/"
        cls.browser = cls.enter_context(chromium.Chromium(_PROGRAM))
        cls.notes = folder / "notes.txt"
        cls.notes.write_text("not an image")
        cls.photo = folder / "photo.png"
        natural_images.draw(0).save(cls.photo)

    def image(self, colour: str) -> Path:
        return self.images / colour / "1.png"

    def save_screenshot(self, name: str) -> None:
        """Saves a screenshot among the undeclared outputs of the Bazel test."""
        if folder := os.environ.get("TEST_UNDECLARED_OUTPUTS_DIR"):
            Path(folder, name).write_bytes(self.browser.screenshot())

    def assert_no_violations(self) -> None:
        """Fails if the page contacted other hosts, raised exceptions or violated its policy."""
        for event in self.browser.events:
            if event["method"] == "Network.requestWillBeSent":
                url = event["params"]["request"]["url"]
                if not url.startswith("data:"):
                    self.assertStartsWith(url.removeprefix("blob:"), self.url)
            self.assertNotEqual(event["method"], "Runtime.exceptionThrown", event)
            if event["method"] == "Log.entryAdded":
                self.assertNotEqual(event["params"]["entry"]["source"], "security", event)

    def test_a_dropped_image_gets_its_label(self):
        self.browser.open(self.url)
        self.browser.drop(self.image("Red"))
        self.browser.wait_until(f"{_TOP_LABELS} == 'red'")
        bars = self.browser.evaluate("document.querySelector('.card .bars').innerText").split()
        self.assertEqual(bars[0], "red")
        self.assertGreater(float(bars[1]), 80)
        self.assertEqual(
            self.browser.evaluate("document.querySelectorAll('.card meter').length"), 3
        )
        self.browser.wait_until("document.querySelector('.card img').naturalWidth == 64")
        status = self.browser.evaluate("document.getElementById('status').textContent")
        self.assertRegex(status, r"^1\.png: red [0-9.]+ %$")
        self.save_screenshot("page.png")
        self.assert_no_violations()

    def assert_is_unknown(self) -> None:
        """Fails unless the only card says that the image shows none of the classes."""
        self.assertEqual(self.browser.evaluate(_TOP_LABELS), "None of these classes")
        text = self.browser.evaluate("document.querySelector('.card').innerText")
        self.assertRegex(text, r"(?s)None of these classes.*does not look like.*\d %")
        quiet, title = (
            self.browser.evaluate(f"getComputedStyle(document.querySelector('{part}')).color")
            for part in (".card .bars li:first-child", ".card .top-label")
        )
        self.assertNotEqual(quiet, title)
        headings = [
            node["name"]["value"]
            for node in self.browser.call("Accessibility.getFullAXTree")["nodes"]
            if node.get("role", {}).get("value") == "heading"
        ]
        self.assertIn("None of these classes", headings)

    def test_an_image_of_something_else_belongs_to_no_class(self):
        self.browser.open(self.url)
        self.browser.drop(self.photo)
        self.browser.wait_until("!document.querySelector('.card[aria-busy]')")
        self.assert_is_unknown()
        status = self.browser.evaluate("document.getElementById('status').textContent")
        self.assertRegex(status, r"^photo\.png: None of these classes *$")
        self.save_screenshot("unknown.png")
        self.browser.drop(self.image("Red"))
        self.browser.wait_until(f"{_TOP_LABELS} == 'red,None of these classes'")
        hidden = "[...document.querySelectorAll('.explanation')].map((e) => e.hidden).join()"
        self.assertEqual(self.browser.evaluate(hidden), "true,false")
        self.assert_no_violations()

    def test_the_form_without_javascript_says_so_too(self):
        self.browser.call("Emulation.setScriptExecutionDisabled", value=True)
        self.addCleanup(self.browser.call, "Emulation.setScriptExecutionDisabled", value=False)
        self.browser.open(self.url)
        self.browser.choose("#choose", self.photo)
        self.browser.events.clear()
        self.browser.evaluate("document.querySelector('button').focus()")
        self.browser.press("Enter", 13)
        self.browser.wait_for_event("Page.loadEventFired")
        self.assert_is_unknown()
        self.assertStartsWith(self.browser.evaluate("document.title"), "None of these classes – ")
        self.assert_no_violations()

    def test_several_images_are_chosen_and_one_is_unreadable(self):
        self.browser.open(self.url)
        self.browser.choose("#choose", self.image("Green"), self.notes, self.image("Blue"))
        self.browser.wait_until(f"{_TOP_LABELS}.split(',').sort() == 'No label,blue,green'")
        error = self.browser.evaluate(
            "document.querySelector('.card .error:not([hidden])').innerText"
        )
        self.assertIn("not a JPEG", error)
        self.browser.choose("#choose", self.image("Red"))
        self.browser.wait_until(f"{_TOP_LABELS}.startsWith('red,')")
        self.assert_no_violations()

    def test_a_pasted_file_is_sent(self):
        self.browser.open(self.url)
        self.browser.evaluate(_PASTE.format(icon="/favicon.ico"))
        self.browser.wait_until(f"{_TOP_LABELS} == 'No label'")
        self.assertIn("pasted.svg", self.browser.evaluate("document.body.innerText"))

    def test_the_file_input_can_be_opened_with_the_keyboard(self):
        self.browser.open(self.url)
        self.browser.call("Page.setInterceptFileChooserDialog", enabled=True)
        self.addCleanup(self.browser.call, "Page.setInterceptFileChooserDialog", enabled=False)
        for _ in range(5):
            self.browser.press("Tab", 9)
            if self.browser.evaluate("document.activeElement.id") == "choose":
                break
        self.assertEqual(self.browser.evaluate("document.activeElement.id"), "choose")
        self.browser.press("Enter", 13)
        opened = self.browser.wait_for_event("Page.fileChooserOpened")
        self.assertEqual(opened["mode"], "selectMultiple")

    def test_all_controls_have_names_for_screen_readers(self):
        self.browser.open(self.url)
        self.browser.drop(self.image("Red"))
        self.browser.wait_until(f"{_TOP_LABELS} == 'red'")
        nodes = self.browser.call("Accessibility.getFullAXTree")["nodes"]
        named = {
            (node["role"]["value"], node.get("name", {}).get("value", ""))
            for node in nodes
            if "role" in node and not node["ignored"]
        }
        self.assertIn(("heading", "What is in the image?"), named)
        self.assertIn(("heading", "red"), named)
        self.assertContainsSubset({"main", "status"}, {role for role, _ in named})
        self.assertTrue(any("Choose images" in name for _, name in named))
        for role, name in named:
            if role in ("button", "link", "textbox", "image"):
                self.assertTrue(name, f"a {role} has no name")

    def test_the_form_works_without_javascript(self):
        self.browser.call("Emulation.setScriptExecutionDisabled", value=True)
        self.addCleanup(self.browser.call, "Emulation.setScriptExecutionDisabled", value=False)
        self.browser.open(self.url)
        self.browser.choose("#choose", self.image("Blue"), self.notes)
        self.browser.events.clear()
        self.browser.evaluate("document.querySelector('button').focus()")
        self.browser.press("Enter", 13)
        self.browser.wait_for_event("Page.loadEventFired")
        self.assertEqual(self.browser.evaluate(_TOP_LABELS), "blue,No label")
        self.assertStartsWith(self.browser.evaluate("document.title"), "blue – ")
        self.assertGreater(
            self.browser.evaluate("document.querySelector('img.preview').naturalWidth"), 0
        )
        self.assertEqual(self.browser.evaluate("document.documentElement.className"), "")
        self.save_screenshot("without_script.png")
        self.assert_no_violations()

    def test_heat_maps_of_the_two_best_labels_are_drawn_when_they_are_opened(self):
        self.browser.open(self.url)
        self.browser.drop(self.image("Red"))
        self.browser.wait_until("document.querySelectorAll('.heat-maps details').length == 2")
        shown = "[...document.querySelectorAll('.heat-map')].map((e) => e.naturalWidth).join()"
        self.assertEqual(self.browser.evaluate(shown), "0,0")
        for click in range(2):
            script = f"document.querySelectorAll('.heat-maps summary')[{click}].click()"
            self.browser.evaluate(script)
            self.browser.wait_until(f"{shown} == '{('320,0', '320,320')[click]}'")
        first = self.browser.evaluate("document.querySelector('.heat-map').alt")
        self.assertEqual(first, "Heat map: where the image looks like red")
        self.save_screenshot("heat_maps.png")
        self.assert_no_violations()

    def test_heat_maps_need_no_javascript(self):
        self.browser.call("Emulation.setScriptExecutionDisabled", value=True)
        self.addCleanup(self.browser.call, "Emulation.setScriptExecutionDisabled", value=False)
        self.browser.open(self.url)
        self.browser.choose("#choose", self.image("Blue"))
        self.browser.events.clear()
        self.browser.evaluate("document.querySelector('button.secondary').focus()")
        self.browser.press("Enter", 13)
        self.browser.wait_for_event("Page.loadEventFired")
        urls = "[...document.querySelectorAll('.heat-map')].map((e) => e.src.slice(0, 15)).join()"
        self.assertEqual(self.browser.evaluate(urls), "data:image/jpeg,data:image/jpeg")
        self.assert_no_violations()

    def test_the_page_fits_a_phone(self):
        self.browser.open(self.url, width=360, height=740, phone=True)
        self.addCleanup(self.browser.open, "about:blank")
        long_name = self.images / f"{'x' * 120}.png"
        shutil.copy(self.image("Green"), long_name)
        self.browser.choose("#camera", long_name)
        self.browser.wait_until(f"{_TOP_LABELS} == 'green'")
        self.assertEqual(self.browser.evaluate("document.documentElement.scrollWidth"), 360)
        for label in ("choose", "camera"):
            height = self.browser.evaluate(
                f"document.querySelector('label[for={label}]').getBoundingClientRect().height"
            )
            self.assertGreaterEqual(height, 44, "too small for a finger")
        self.save_screenshot("phone.png")


if __name__ == "__main__":
    absltest.main()

"""The report is complete, safe for all names, small, and can be read on every screen."""

import dataclasses
import html.parser
import re
import shutil
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
from absl.testing import absltest

from retrain.backbones.backbone import Backbone
from retrain.comparison.architectures import ArchitectureComparison, ArchitectureResult
from retrain.comparison.baseline import BaselineComparison, DifferingImage
from retrain.comparison.comparisons import Comparisons
from retrain.comparison.mcnemar import count_pairs
from retrain.data_check.last_check import LastCheck
from retrain.heat_maps.pooled_layers import NoHeatMapError
from retrain.report.html import mistakes
from retrain.report.html.report import render_report
from retrain.report.html.training_run import TrainingRun
from tests.support import chromium, sample_run

_HOSTILE_NAMES = (
    "<script>alert(1)<",
    "a\"onload='x'&amp;",
    "\u05e9\u05dc\u05d5\u05dd \u202e",
    "line\nbreak",
    "w" * 200,
    "not \udcff utf-8",
    "{{ 7*7 }} {% raw %}",
    "手話",
)
_BROWSER = chromium.find()


class _Page(html.parser.HTMLParser):
    """Collects what a test needs to know about a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.images: list[dict[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.tags.append(tag)
        self.ids += [values["id"]] if "id" in values else []
        self.links += [values["href"]] if tag == "a" else []
        self.images += [values] if tag == "img" else []


class _ReportTestCase(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        # The graph of the sample run does not exist.
        patch = mock.patch.object(mistakes.heat_maps, "load", side_effect=NoHeatMapError("none"))
        self.load = patch.start()
        self.addCleanup(patch.stop)

    def make_run(self, names=("cat", "dog", "fox"), **options) -> TrainingRun:
        return sample_run.make_run(self.folder / "images", names, **options)


class ContentTest(_ReportTestCase):
    def test_hostile_names_are_escaped_and_nothing_is_loaded(self):
        text = render_report(self.make_run(_HOSTILE_NAMES))
        page = _Page(text)
        self.assertNotIn("script", page.tags)
        self.assertIn("&lt;script&gt;", text)
        self.assertIn("{{ 7*7 }}", text)
        self.assertNotIn("\u202e", text.encode().decode())
        self.assertEmpty(re.findall(r"(?:src|href)=\"(?!data:image/jpeg;base64,|#)", text))
        self.assertNotIn("@import", text)
        self.assertNotRegex(text, r"url\((?!#)")

    def test_all_links_lead_to_places_in_the_page(self):
        page = _Page(render_report(self.make_run(_HOSTILE_NAMES)))
        self.assertContainsSubset({link[1:] for link in page.links if link != "#"}, page.ids)
        self.assertLen(set(page.ids), len(page.ids))

    def test_all_images_have_a_text_and_there_is_one_main_heading(self):
        page = _Page(render_report(self.make_run()))
        self.assertNotEmpty(page.images)
        self.assertTrue(all(image.get("alt") for image in page.images))
        self.assertEqual(page.tags.count("h1"), 1)

    def test_the_title_names_the_images(self):
        run = self.make_run()
        for folder, name in (
            ("/data/flowers", "flowers"),
            ("/heroes/train", "heroes/train"),
            ("/Images", "Images"),
        ):
            dataset = dataclasses.replace(run.dataset, image_dir=Path(folder))
            features = dataclasses.replace(run.result.features, dataset=dataset)
            primary = dataclasses.replace(run.result, features=features)
            results = run.results._replace(primary=primary)
            text = render_report(dataclasses.replace(run, results=results))
            self.assertIn(f"<title>{name}: report of a classifier</title>", text)

    def test_every_section_is_there(self):
        page = _Page(render_report(self.make_run()))
        names = ["summary", "accuracy", "mistakes", "confusion", "classes", "thresholds"]
        names += ["reliability", "learning_curve", "data_check", "exports", "reproduction"]
        self.assertContainsSubset(names, page.ids)

    def test_the_summary_has_the_accuracy_and_the_worst_confusion(self):
        run = self.make_run(("cat", "dog"), mistakes=0.4)
        text = render_report(run)
        accuracy = run.held_out.evaluation.accuracy
        self.assertIn(f"{100 * accuracy:.1f}%", text)
        counts = np.array(run.held_out.evaluation.confusion)
        truth, predicted = (0, 1) if counts[0, 1] >= counts[1, 0] else (1, 0)
        names = run.labels[truth], run.labels[predicted]
        self.assertIn(f"<bdi>{names[0]}</bdi> for <bdi>{names[1]}</bdi>", text)

    def test_heat_maps_are_drawn_for_the_predicted_and_the_true_class(self):
        self.load.side_effect = None
        maps = self.load.return_value
        maps.batch_size = 4
        maps.compute.side_effect = lambda pixels, classes: np.random.default_rng(0).random(
            (*classes.shape, 4, 4), np.float32
        )
        run = self.make_run()
        text = render_report(run)
        self.assertIn('alt="Heat map for cat"', text)
        pixels, classes = maps.compute.call_args_list[0].args
        self.assertEqual(pixels.shape, (4, 32, 32, 3))
        wrong = np.flatnonzero(~run.held_out.right)
        first = wrong[np.argmax(run.held_out.scores[wrong])]
        self.assertEqual(
            classes[0].tolist(), [run.held_out.predicted[first], run.held_out.class_ids[first]]
        )

    def test_a_vanished_image_has_a_frame_without_a_thumbnail(self):
        run = self.make_run(mistakes=0.5)
        for image in run.dataset.images:
            image.path.unlink()
        text = render_report(run)
        self.assertNotIn("data:image", text)
        self.assertIn("no thumbnail", text)

    def test_without_test_images_the_report_says_that_nothing_is_known(self):
        text = render_report(sample_run.without_test_images(self.make_run()))
        self.assertIn("does not know how good", text)
        self.assertIn("--testing_percentage=10", text)

    def test_without_cross_validation_the_test_images_are_judged(self):
        run = self.make_run(cross_validated=False)
        text = render_report(run)
        self.assertIn(f"{run.result.test.count} test images", text)
        self.assertNotIn('id="learning_curve"', text)

    def test_a_learning_curve_of_some_images_says_so(self):
        run = self.make_run()
        count = run.held_out.evaluation.count
        self.assertIn(f"Judged on {count} held-out images", render_report(run))
        some = dataclasses.replace(run.learning_curve, judged=9)
        text = render_report(dataclasses.replace(run, learning_curve=some))
        self.assertIn(f"Judged on 9 of the {count} held-out images", text)

    def test_a_perfect_classifier_and_a_single_image_per_class(self):
        text = render_report(self.make_run(mistakes=0.0))
        self.assertIn("There are no mistakes", text)
        text = render_report(self.make_run(("a", "b"), images_per_class=1, mistakes=1.0))
        self.assertIn("no better than the baseline", text)

    def test_comparisons_have_a_table_and_the_images_that_differ(self):
        run = self.make_run()
        image = run.dataset.images[0]
        networks = tuple(
            ArchitectureResult(name, 100, accuracy, (0.8, 0.95), 10.0, 14_000_000)
            for name, accuracy in (("small_net", 0.875), ("large_net", 0.9))
        )
        right = np.arange(40) < 30
        baseline = BaselineComparison(
            Path("/old.pb"),
            ("cat", "dog"),
            count_pairs(right, np.roll(right, 5)),
            seen_count=3,
            unseen_counts=None,
            gained=(DifferingImage(image.path, "cat", "cat", "<b>fox</b>"),),
            lost=(),
        )
        comparisons = Comparisons(ArchitectureComparison(networks, 0, "smallest"), baseline)
        text = render_report(dataclasses.replace(run, comparisons=comparisons))
        self.assertIn("small_net</bdi> (used)", text)
        self.assertIn("87.5%", text)
        self.assertIn("old: <bdi>&lt;b&gt;fox&lt;/b&gt;</bdi>", text)
        self.assertIn("Neither is better.", text)

    def test_the_last_data_check_has_its_images(self):
        run = self.make_run()
        paths = tuple(image.path for image in run.dataset.images[:2])
        check = LastCheck("2026-01-31", {"duplicate": 5}, 24, True, {"duplicate": (paths,)})
        text = render_report(dataclasses.replace(run, data_check=check))
        section = text[text.index('<section id="data_check"') :]
        self.assertIn('The same file several times <span class="muted">(5)</span>', section)
        self.assertEqual(section.count("<img"), 2)
        self.assertIn("the same file several times (5)", text[: text.index('id="accuracy"')])

    def test_secrets_in_addresses_are_hidden(self):
        run = self.make_run()
        url = "--tfhub_module=https://me:secret1@host/module?token=secret2#secret3"
        config = dataclasses.replace(run.config, command_line=(url, "--image_dir=my photos"))
        backbone = dataclasses.replace(run.backbone, name=url.partition("=")[2])
        self.assertIsInstance(backbone, Backbone)
        text = render_report(dataclasses.replace(run, config=config, backbone=backbone))
        self.assertNotIn("secret", text)
        self.assertIn("https://host/module", text)
        self.assertIn("&#39;--image_dir=my photos&#39;", text)


class SizeTest(_ReportTestCase):
    def test_fifty_classes_stay_below_5_megabytes(self):
        names = [f"class {number}" for number in range(50)]
        run = self.make_run(names, images_per_class=12, mistakes=0.5)
        self.assertLess(len(render_report(run).encode()), 5_000_000)

    def test_a_thousand_classes_with_long_names_stay_below_5_megabytes(self):
        names = [f"{number} {'long' * 49}" for number in range(1000)]
        run = self.make_run(names, images_per_class=4, mistakes=0.5, draw_images=False)
        text = render_report(run)
        self.assertLess(len(text.encode()), 5_000_000)
        self.assertIn("The table has the 30 of 1,000 classes with the most mistakes", text)
        self.assertIn("The other 950 classes", text)


@absltest.skipUnless(_BROWSER, "no Chromium here; install it, or run as root with CI set")
class BrowserTest(_ReportTestCase):
    def setUp(self):
        super().setUp()
        self.file = self.folder / "run.html"
        names = (*_HOSTILE_NAMES, *(f"class {number}" for number in range(20)))
        self.run_ = self.make_run(names, mistakes=0.5)
        self.file.write_text(render_report(self.run_), "utf-8")
        self.browser = self.enter_context(chromium.Chromium(_BROWSER))

    def open(self, *, scheme: str, fragment: str = "", **size) -> None:
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.browser.call("Emulation.setEmulatedMedia", features=[feature])
        self.browser.open(self.file.as_uri() + fragment, **size)

    def test_it_fits_a_phone_and_a_desktop_in_both_colour_schemes(self):
        for scheme in ("dark", "light"):
            for width in (360, 1200):
                self.open(scheme=scheme, width=width, phone=width == 360)
                scroll_width = self.browser.evaluate("document.documentElement.scrollWidth")
                background = self.browser.evaluate(
                    "getComputedStyle(document.body).backgroundColor"
                )
                self.assertEqual(scroll_width, width)
                self.assertEqual(background != "rgb(255, 255, 255)", scheme == "dark")
                errors = [e for e in self.browser.events if e.get("method") == "Log.entryAdded"]
                self.assertEmpty(errors)

    def test_charts_have_the_colours_of_the_page(self):
        colours = {}
        for scheme in ("dark", "light"):
            self.open(scheme=scheme)
            colours[scheme] = self.browser.evaluate(
                "[...document.querySelectorAll('.chart text')]"
                ".map(text => getComputedStyle(text).fill)[0]"
            )
        self.assertNotEqual(colours["dark"], colours["light"])

    def test_a_cell_of_the_matrix_shows_its_images_without_scripts(self):
        self.browser.call("Emulation.setScriptExecutionDisabled", value=True)
        wrong = np.flatnonzero(~self.run_.held_out.right)
        truth = self.run_.held_out.class_ids[wrong[-1]]
        anchor = f"cell-{truth}-{self.run_.held_out.predicted[wrong[-1]]}"
        self.open(scheme="light", fragment=f"#{anchor}")
        shown = self.browser.evaluate(
            "[...document.querySelectorAll('.cell')]"
            ".filter(cell => cell.offsetParent).map(cell => cell.id)"
        )
        self.assertEqual(shown, [anchor])
        self.assertTrue(
            self.browser.evaluate("document.querySelector(':target img').naturalWidth > 0")
        )

    def test_text_has_enough_contrast(self):
        for scheme in ("dark", "light"):
            self.open(scheme=scheme)
            for selector in ("p", ".muted", "a", "td.right a", ".matrix td a", ".bad", ".good"):
                ratio = self.browser.evaluate(_CONTRAST.replace("SELECTOR", selector))
                self.assertGreaterEqual(ratio, 4.5, f"{selector} in {scheme}")

    def test_it_can_be_printed(self):
        self.open(scheme="light")
        self.assertNotEmpty(self.browser.call("Page.printToPDF", printBackground=True)["data"])


# The smallest contrast of the text of elements with what is behind them, as WCAG 2.2 defines it.
_CONTRAST = """
(() => {
  const numbers = text => text.match(/[\\d.]+/g).map(Number);
  const over = (top, below) => {
    const alpha = top[3] ?? 1;
    return [0, 1, 2].map(i => alpha * top[i] + (1 - alpha) * below[i]);
  };
  const behind = element => {
    if (!element) return [255, 255, 255];
    const colour = numbers(getComputedStyle(element).backgroundColor);
    return (colour[3] ?? 1) == 1 ? colour : over(colour, behind(element.parentElement));
  };
  const luminance = colour => {
    const [r, g, b] = colour.slice(0, 3).map(
      v => v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  return Math.min(21, ...[...document.querySelectorAll('SELECTOR')].map(element => {
    const back = luminance(behind(element));
    const front = luminance(numbers(getComputedStyle(element).color));
    return (Math.max(back, front) + 0.05) / (Math.min(back, front) + 0.05);
  }));
})()
"""


if __name__ == "__main__":
    absltest.main()

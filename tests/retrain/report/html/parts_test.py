"""Numbers, names, commands and thresholds in the report say exactly what they should."""

import hashlib
import subprocess
from pathlib import Path

from absl.testing import absltest, parameterized

from retrain.errors import UserError
from retrain.report.html import charts
from retrain.report.html.page import check_replaceable, percent, plural, render, shorten, show
from retrain.report.html.reproduction import digest_images, format_command, hide_secrets
from retrain.report.html.thresholds import Threshold, recommend


class TextTest(parameterized.TestCase):
    @parameterized.parameters(
        (0, "0%"), (1, "100%"), (0.9999, "99.9%"), (0.00001, "0.1%"), (0.5, "50.0%"), (None, "–")
    )
    def test_only_all_or_nothing_is_rounded_to_it(self, fraction, expected):
        self.assertEqual(percent(fraction), expected)

    def test_counts_have_the_right_number(self):
        self.assertEqual(plural(1, "image"), "1 image")
        self.assertEqual(plural(2000, "class", "classes"), "2,000 classes")

    def test_names_are_one_line_that_can_be_encoded(self):
        self.assertEqual(show("a\nb"), "a\\nb")
        show("not \udcff utf-8").encode()
        self.assertEqual(shorten("abcdef", 4), "abc…")
        self.assertEqual(shorten("abcd", 4), "abcd")


class ReplaceableTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.path = Path(self.create_tempdir().full_path, "page.html")

    def test_only_pages_of_this_program_and_empty_files_are_replaced(self):
        check_replaceable(self.path, "report")
        self.path.touch()
        check_replaceable(self.path, "report")
        self.path.write_text(render("page.html"))
        check_replaceable(self.path, "report")
        self.path.write_text("<!DOCTYPE html><title>My home page</title>")
        with self.assertRaisesRegex(UserError, "^--report=.*page.html is a file .* not replaced"):
            check_replaceable(self.path, "report")

    def test_a_folder_is_refused(self):
        with self.assertRaisesRegex(UserError, "^--html=.* cannot be read: Is a directory"):
            check_replaceable(self.path.parent, "html")


class ReproductionTest(parameterized.TestCase):
    @parameterized.parameters(
        ("--a=https://user:pw@host/path", "--a=https://host/path"),
        ("https://host/path?token=x#y", "https://host/path?..."),
        ("https://host/path#x", "https://host/path"),
        ("https://host/a@2", "https://host/a@2"),
        ("gs://bucket/path", "gs://bucket/path"),
        ("--image_dir=a?b", "--image_dir=a?b"),
    )
    def test_urls_lose_what_can_be_secret(self, text, expected):
        self.assertEqual(hide_secrets(text), expected)

    def test_a_shell_parses_the_command_to_the_same_arguments(self):
        arguments = ("--image_dir=my 'best' photos", "--class_weights=$HOME=2", "--nocalibrate")
        command = format_command(arguments).replace("bazel run //retrain --", "printf '%s\\n'")
        output = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
        self.assertEqual(output.stdout.splitlines(), list(arguments))

    def test_the_digest_of_a_folder_is_that_of_the_output_of_sha256sum(self):
        folder = Path(self.create_tempdir().full_path)
        digests = {}
        for name in ("b.jpg", "a.jpg"):
            (folder / name).write_text(name)
            digests[name] = hashlib.sha256(name.encode()).digest()
        lines = subprocess.run(
            ["sha256sum", "a.jpg", "b.jpg"], cwd=folder, capture_output=True, check=True
        ).stdout
        self.assertEqual(digest_images(digests), hashlib.sha256(lines).hexdigest())


class ThresholdsTest(absltest.TestCase):
    def test_the_lowest_threshold_with_reliable_answers_is_recommended(self):
        low = Threshold(0.0, 1.0, 0.95, 50)
        middle = Threshold(0.8, 0.9, 0.991, 8)
        high = Threshold(0.9, 0.8, 0.999, 1)
        self.assertEqual(recommend([low, middle, high]), middle)

    def test_less_is_aimed_at_if_too_few_images_would_be_answered(self):
        low = Threshold(0.0, 1.0, 0.8, 200)
        middle = Threshold(0.8, 0.7, 0.96, 28)
        high = Threshold(0.95, 0.2, 0.999, 1)
        self.assertEqual(recommend([low, middle, high]), middle)

    def test_nothing_is_recommended_for_a_classifier_that_guesses(self):
        self.assertIsNone(recommend([Threshold(0.0, 1.0, 0.5, 50), Threshold(0.9, 0, None, 0)]))


class ChartsTest(absltest.TestCase):
    def test_a_chart_has_the_colours_of_the_page_and_equal_charts_are_equal(self):
        svg = charts.draw("x", 'a "description"', lambda axis: axis.plot([1], color=charts.BAD))
        self.assertIn("var(--bad)", svg)
        self.assertNotRegex(svg, "#0[1-7]0[1-7]0[1-7]")
        self.assertIn('aria-label="a &#34;description&#34;"', svg)
        again = charts.draw("x", 'a "description"', lambda axis: axis.plot([1], color=charts.BAD))
        self.assertEqual(svg, again)


if __name__ == "__main__":
    absltest.main()

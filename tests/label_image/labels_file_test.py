"""Tests that labels are read, and that unusable files are refused."""

import os
from pathlib import Path

from absl.testing import absltest, parameterized

from label_image import labels_file
from retrain.errors import UserError
from retrain.runtimes import label_lines


class LabelsFileTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.path = Path(self.create_tempdir().full_path) / "labels.txt"

    def test_each_line_is_a_label(self):
        self.path.write_text("grün\nblue sky\n", encoding="utf-8")
        self.assertEqual(label_lines.read(self.path, flag="labels"), ("grün", "blue sky"))

    def test_what_editors_add_is_ignored(self):
        self.path.write_bytes(b"\xef\xbb\xbfred\r\ngreen\r\n\r\n")
        self.assertEqual(label_lines.read(self.path, flag="labels"), ("red", "green"))

    @parameterized.parameters(
        (b"", "is empty; it needs one label per line"),
        (b"a\n\nb\n", "has an empty label in line 2; write a label there, or remove the line"),
        (b"gr\xfcn\n", "is not a text file in UTF-8"),
    )
    def test_unusable_content_is_refused(self, content: bytes, message: str):
        self.path.write_bytes(content)
        with self.assertRaisesRegex(UserError, f"^--labels={self.path} {message}$"):
            label_lines.read(self.path, flag="labels")

    def test_a_missing_file_is_refused(self):
        with self.assertRaisesRegex(UserError, f"^--labels={self.path} cannot be read: No such"):
            label_lines.read(self.path, flag="labels")

    def test_a_pipe_is_refused_at_once(self):
        os.mkfifo(self.path)
        with self.assertRaisesRegex(UserError, f"^--labels={self.path} cannot be read: it is a "):
            label_lines.read(self.path, flag="labels")

    def test_texts_that_the_classifier_does_not_contain_are_accepted(self):
        for labels in (("Katze", "Hund", "Vogel"), ("cat", "Hund", "bird"), ("cat", "dog", "bird")):
            self.path.write_text("\n".join(labels), encoding="utf-8")
            self.assertEqual(self.resolve(), labels)

    def test_a_warning_says_if_the_classifier_contains_none_of_them(self):
        self.path.write_text("Katze\nHund\nVogel")
        with self.assertLogs(level="WARNING") as logged:
            self.resolve()
        self.assertRegex("".join(logged.output), "None of the labels in --labels=.*label is cat;")
        self.path.write_text("Katze\nHund\nbird")
        with self.assertNoLogs():
            self.resolve()

    @parameterized.parameters(
        ("dog\ncat\nbird", "label 1 is dog, but in the graph graph.pb it is cat"),
        ("ant\ncat\ndog", "label 2 is cat, but in the graph graph.pb it is dog"),
        ("cat\ndog\ndog", "label 3 is dog, but in the graph graph.pb it is bird"),
        ("cat\ndog", "graph.pb have different numbers of labels: 2 and 3"),
        (
            "ant\nbee\ncat\ndog",
            "graph.pb have different numbers of labels: 4 and 3",
        ),
    )
    def test_labels_of_another_classifier_are_refused(self, content, message):
        self.path.write_text(content)
        with self.assertRaisesRegex(UserError, f"^--labels={self.path} .*{message}; leave the"):
            self.resolve()

    def test_without_a_file_the_classifier_must_contain_labels(self):
        self.assertEqual(labels_file.resolve(Path("graph.pb"), None, ("a", "b")), ("a", "b"))
        with self.assertRaisesRegex(UserError, "^--labels is needed: the graph graph.pb does not"):
            labels_file.resolve(Path("graph.pb"), None, None)
        self.path.write_text("a\nb")
        self.assertEqual(labels_file.resolve(Path("graph.pb"), self.path, None), ("a", "b"))

    def resolve(self) -> tuple[str, ...]:
        return labels_file.resolve(Path("graph.pb"), self.path, ("cat", "dog", "bird"))


if __name__ == "__main__":
    absltest.main()

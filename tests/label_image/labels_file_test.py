"""Tests that labels are read, and that unusable files are refused."""

import os
from pathlib import Path

from absl.testing import absltest, parameterized

from label_image import labels_file
from retrain.errors import UserError


class LabelsFileTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.path = Path(self.create_tempdir().full_path) / "labels.txt"

    def test_each_line_is_a_label(self):
        self.path.write_text("grün\nblue sky\n", encoding="utf-8")
        self.assertEqual(labels_file.read(self.path), ("grün", "blue sky"))

    def test_what_editors_add_is_ignored(self):
        self.path.write_bytes(b"\xef\xbb\xbfred\r\ngreen\r\n\r\n")
        self.assertEqual(labels_file.read(self.path), ("red", "green"))

    @parameterized.parameters(
        (b"", "is empty; it needs one label per line"),
        (b"a\n\nb\n", "has an empty label in line 2; write a label there, or remove the line"),
        (b"gr\xfcn\n", "is not a text file in UTF-8"),
    )
    def test_unusable_content_is_refused(self, content: bytes, message: str):
        self.path.write_bytes(content)
        with self.assertRaisesRegex(UserError, f"^--labels={self.path} {message}$"):
            labels_file.read(self.path)

    def test_a_missing_file_is_refused(self):
        with self.assertRaisesRegex(UserError, f"^--labels={self.path} cannot be read: No such"):
            labels_file.read(self.path)

    def test_a_pipe_is_refused_at_once(self):
        os.mkfifo(self.path)
        with self.assertRaisesRegex(UserError, f"^--labels={self.path} cannot be read: it is a "):
            labels_file.read(self.path)


if __name__ == "__main__":
    absltest.main()

"""Tests that files of labels are read as their authors mean them."""

from absl.testing import absltest, parameterized

from retrain.runtimes import label_lines

_LABELS = ("grün", "blue sky", "red")


class LabelLinesTest(parameterized.TestCase):
    @parameterized.named_parameters(
        ("without_a_last_line_feed", "grün\nblue sky\nred"),
        ("line_feeds", "grün\nblue sky\nred\n"),
        ("lines_of_windows", "grün\r\nblue sky\r\nred\r\n"),
        ("empty_last_lines", "grün\nblue sky\nred\n\n \t\n\r\n"),
        ("surrounding_spaces", " grün \n\tblue sky\t\n\u00a0red\u3000\n"),
        ("byte_order_mark", "\ufeffgrün\nblue sky\nred\n"),
        ("joined_files", "\ufeffgrün\n\ufeffblue sky\n\ufeff red\n"),
    )
    def test_what_editors_add_is_ignored(self, text: str):
        self.assertEqual(label_lines.parse(text.encode()), _LABELS)

    def test_utf_16_with_a_byte_order_mark_is_read(self):
        self.assertEqual(label_lines.parse("grün\r\nblue sky\r\nred\r\n".encode("utf-16")), _LABELS)

    @parameterized.parameters(*"\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e\r")
    def test_only_line_feeds_end_a_line(self, separator: str):
        label = f"a{separator}b"
        self.assertEqual(label_lines.parse(f"{label}\nc\n".encode()), (label, "c"))

    @parameterized.parameters(
        (b"x" * 8_000_001, "^has 8,000,001 bytes, more than the limit of 8,000,000$"),
        (b"x\n" * 100_001, "^has 100,001 labels of up to 1 characters, more than the limit"),
        (b"red\n" + b"x" * 1001, "^has 2 labels of up to 1,001 characters"),
        (b"", "^is empty; it needs one label per line$"),
        (b"\xef\xbb\xbf\r\n \n", "^is empty; "),
        (b"a\n\nb\n", "^has an empty label in line 2; "),
        (b"\na\n", "^has an empty label in line 1; "),
        (b"a\r\nb\r\n \r\nc", "^has an empty label in line 3; "),
        (b"gr\xfcn\n", "^is not a text file in UTF-8$"),
        (b"\xff\xfea", "^is not a text file in UTF-8$"),
    )
    def test_lists_without_a_label_for_each_line_are_refused(self, content: bytes, message: str):
        with self.assertRaisesRegex(label_lines.LabelsError, message):
            label_lines.parse(content)


if __name__ == "__main__":
    absltest.main()

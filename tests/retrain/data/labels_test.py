"""Tests that every folder gets a unique label of a single line."""

import logging

from absl.testing import absltest, parameterized

from retrain.data.labels import make_labels


class LabelsTest(parameterized.TestCase):
    def labels_with_warning(self, *names: str) -> tuple[str, ...]:
        """Returns the labels and sets `self.warning`."""
        with self.assertLogs(level=logging.WARNING) as logs:
            result = make_labels(names)
        self.warning = logs.output[0]
        return result

    @parameterized.parameters(
        ("daisy", "daisy"),
        ("Daisy", "daisy"),
        ("black_eyed-Susan (wild)", "black eyed susan wild"),
        ("1st  place!", "1st place"),
        ("Gänseblümchen", "gänseblümchen"),
        ("Ga\u0308nse", "gänse"),
        ("КОТ_и_пёс", "кот и пёс"),
        ("हिन्दी-शब्द", "हिन्दी शब्द"),
        ("猫（黒）", "猫 黒"),
        ("0", "0"),
    )
    def test_labels_are_letters_and_digits_in_lower_case(self, name, label):
        with self.assertNoLogs():
            self.assertEqual(make_labels([name]), (label,))

    def test_a_name_without_letters_and_digits_is_kept(self):
        self.assertEqual(self.labels_with_warning("+", "🦊", "fox"), ("+", "🦊", "fox"))
        self.assertIn("+, 🦊.", self.warning)

    def test_names_that_would_have_the_same_label_are_kept(self):
        self.assertEqual(
            self.labels_with_warning("Cat", "a-b", "a_b", "cat", "fox"),
            ("Cat", "a-b", "a_b", "cat", "fox"),
        )

    def test_names_that_differ_in_other_characters_are_kept(self):
        self.assertEqual(self.labels_with_warning("+", "-", "c++", "c"), ("+", "-", "c++", "c"))

    @parameterized.parameters("\n", "\r", "\x0b", "\x1b", "\x85", "\u2028", "\u2029", "\udcff")
    def test_line_breaks_and_invalid_characters_are_replaced(self, character):
        (label,) = self.labels_with_warning(f"+{character}-")
        self.assertEqual(label, "+?-")
        self.assertEqual(label.encode().decode().splitlines(), [label])

    @parameterized.parameters(
        (["猫\n", "猫\t", "猫?"],),
        ([" cat", "cat", "cat "],),
        (["\u00e9\u732b", "e\u0301\u732b", "\u732b"],),
        ([" ", "  ", "\n", "?"],),
        (["猫", "猫\udcff", "猫\udcfe"],),
        (["\n1", "1", "1?"],),
        (["cat (2)", "cat\n", "cat", "cat\r"],),
        (["?", "\x01", "\x02", "? (2)"],),
    )
    def test_changed_names_are_unique(self, names):
        labels = self.labels_with_warning(*names)
        self.assertLen(set(labels), len(names), labels)
        for label in labels:
            self.assertEqual(label, label.strip())
            self.assertLen(label.splitlines(), 1)

    def test_the_warning_lists_a_few_names(self):
        self.labels_with_warning(*"🐈🐕🐦🐎🐂🐟")
        self.assertIn("🐈, 🐕, 🐦, 🐎, 🐂 and 1 more", self.warning)


if __name__ == "__main__":
    absltest.main()

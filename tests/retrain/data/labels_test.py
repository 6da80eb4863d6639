"""Every folder gets a label of its own that fits into a line."""

import logging

from absl.testing import absltest, parameterized

from retrain.data.labels import labels_of


class LabelsTest(parameterized.TestCase):
    def labels(self, *names: str) -> tuple[str, ...]:
        """Returns the labels, where a warning is expected."""
        with self.assertLogs(level=logging.WARNING) as logs:
            result = labels_of(names)
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
    def test_is_letters_and_digits_in_lower_case(self, name, label):
        with self.assertNoLogs():
            self.assertEqual(labels_of([name]), (label,))

    def test_keeps_the_name_where_nothing_would_be_left(self):
        self.assertEqual(self.labels("+", "🦊", "fox"), ("+", "🦊", "fox"))
        self.assertIn("+, 🦊.", self.warning)

    def test_keeps_all_names_that_would_be_the_same(self):
        self.assertEqual(
            self.labels("Cat", "a-b", "a_b", "cat", "fox"), ("Cat", "a-b", "a_b", "cat", "fox")
        )

    def test_keeps_signs_that_differ(self):
        self.assertEqual(self.labels("+", "-", "c++", "c"), ("+", "-", "c++", "c"))

    @parameterized.parameters("\n", "\r", "\x0b", "\x1b", "\x85", "\u2028", "\u2029", "\udcff")
    def test_replaces_what_breaks_a_line_or_is_invalid(self, sign):
        (label,) = self.labels(f"+{sign}-")
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
    def test_labels_are_unique_also_where_names_have_to_be_changed(self, names):
        labels = self.labels(*names)
        self.assertLen(set(labels), len(names), labels)
        for label in labels:
            self.assertEqual(label, label.strip())
            self.assertLen(label.splitlines(), 1)

    def test_names_only_a_few_in_the_warning(self):
        self.labels(*"🐈🐕🐦🐎🐂🐟")
        self.assertIn("🐈, 🐕, 🐦, 🐎, 🐂 and 1 more", self.warning)


if __name__ == "__main__":
    absltest.main()

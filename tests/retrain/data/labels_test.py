"""Tests that every folder gets a unique label of a single line."""

import logging

from absl.testing import absltest, parameterized

from retrain.data import look_alikes
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

    @parameterized.parameters(
        ("❤\ufe0f", "❤\ufe0f"),
        ("#\ufe0f\u20e3", "#\ufe0f\u20e3"),
        ("👩\u200d🔬", "👩\u200d🔬"),
        ("❤\ufe0f\u200d🔥", "❤\ufe0f\u200d🔥"),
        ("\u0301", "\u25cc\u0301"),
        ("\u200d+", "+"),
        ("+ \u200c\u0301", "+ \u25cc\u0301"),
        ("+ \u0301", "+ \u25cc\u0301"),
        ("\u0e34", "\u25cc\u0e34"),
        ("\u0940", "\u25cc\u0940"),
        ("\U0001fae8", "\U0001fae8"),
    )
    def test_marks_and_joiners_of_emoji_and_symbols_stay_with_them(self, name, label):
        self.assertEqual(self.labels_with_warning(name), (label,))

    @parameterized.parameters(
        ("❤\ufe0f cats", "cats"),
        ("cats ❤\ufe0f", "cats"),
        ("\u0301a", "a"),
        ("a +\u0301b", "a b"),
        ("1\ufe0f\u20e3", "1\ufe0f\u20e3"),
        ("\u200dfox\u200c", "fox"),
        ("fox \u200d\u0301hen", "fox hen"),
        ("fox\u3164", "fox"),
    )
    def test_marks_without_a_letter_are_replaced_by_spaces(self, name, label):
        with self.assertNoLogs():
            self.assertEqual(make_labels([name]), (label,))

    @parameterized.parameters(
        "می\u200cخواهم",
        "कक\u094d\u200dष",
        "ශ\u0dca\u200dර\u0dd3",
        "ന\u0d4d\u200dമ",
        "葛\U000e0100城",
        "ᠠ\u180bᠪ",
    )
    def test_joiners_and_variation_selectors_inside_words_stay(self, name):
        with self.assertNoLogs():
            self.assertEqual(make_labels([name]), (name,))

    def test_no_label_is_invisible_and_no_class_is_lost(self):
        names = [
            *("\ufe0f", "\u200d", "\u200b", "\u3164", "\u034f", "\u2800", "\u00ad", "\U000e0020"),
            *(
                " \u200d",
                "\ufeff",
                "\u202e",
                "\u200d\u0301",
                "\ufe0f\ufe0f",
                "❤",
                "❤\ufe0f",
                "❤\ufe0e",
            ),
        ]
        labels = self.labels_with_warning(*names)
        self.assertLen(set(labels), len(names))
        for label in labels:
            self.assertFalse(all(map(look_alikes.is_invisible, label)), ascii(label))

    @parameterized.parameters(
        ("cat", "c\u0430t"),
        ("Cat", "\uff23\uff21\uff34"),
        ("catdog", "cat\u200ddog"),
        ("میخواهم", "می\u200cخواهم"),
        ("葛城", "葛\U000e0100城"),
        ("a\u03bf", "\u03b1o"),
        ("علی", "علي"),
        ("力", "カ"),
        ("\ufb01sh", "fish"),
        ("❤", "❤\ufe0f"),
    )
    def test_labels_that_look_the_same_are_named(self, first, second):
        with self.assertLogs(level=logging.WARNING) as logs:
            labels = make_labels([first, "other", second])
        self.assertLen(set(labels), 3)
        self.assertIn("Different labels look the same: ", logs.output[-1])
        self.assertIn(f"({labels[0]!a}, {labels[2]!a})", logs.output[-1])
        self.assertNotIn("other", logs.output[-1])

    @parameterized.parameters(
        (["0", "1", "i", "l", "o"],),
        (["кот", "пёс", "сова"],),
        (["m2", "m\u00b2"],),
        (["ø", "o", "ö"],),
        (["か", "が"],),
        (["cat dog", "catdog"],),
    )
    def test_labels_that_look_different_cause_no_warning(self, names):
        with self.assertNoLogs():
            self.assertLen(set(make_labels(names)), len(names))

    def test_flags_with_tags_look_different(self):
        flags = ["🏴", "🏴\U000e0067\U000e0062\U000e007f", "🏴\U000e0067\U000e0073\U000e007f"]
        self.assertEqual(self.labels_with_warning(*flags), tuple(flags))
        self.assertNotIn("look the same", self.warning)

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

"""Lines of text stay one line, lists stay short, and durations are readable."""

import os
import subprocess
from pathlib import Path

from absl.testing import absltest, parameterized

from retrain.system.text import first_line, format_duration, name_some, one_line, shell_word


class TextTest(parameterized.TestCase):
    @parameterized.parameters(
        ("daisy é 模 😀", "daisy é 模 😀"),
        ("می\u200cخواهم 👩\u200d🔬", "می\u200cخواهم 👩\u200d🔬"),
        ("\u202e\u200b", r"\u202e\u200b"),
        ("a\nb\r\t", r"a\nb\r\t"),
        ("\x1b[31m", r"\x1b[31m"),
        ("\u2028", r"\u2028"),
        ("\udcff", r"\udcff"),
        (Path("x\ny"), r"x\ny"),
    )
    def test_characters_that_break_a_line_are_escaped(self, text, expected):
        self.assertEqual(one_line(text), expected)

    @parameterized.parameters(
        ("/photos/elsa.jpg", "/photos/elsa.jpg"),
        ("my cat's.jpg", """'my cat'"'"'s.jpg'"""),
        (Path("é\udcff1\n.jpg"), r"$'é\3771\012.jpg'"),
        ("it's \\\udce9", r"$'it\047s \134\351'"),
    )
    def test_a_shell_reads_a_quoted_word_as_it_was(self, word, expected):
        self.assertEqual(shell_word(word), expected)
        done = subprocess.run(
            ["bash", "-c", f"printf %s {shell_word(word)}"], stdout=subprocess.PIPE, check=True
        )
        self.assertEqual(done.stdout, os.fsencode(word))

    @parameterized.parameters(
        (ValueError("one"), "one"),
        (ValueError("\n  one \ntwo"), "one"),
        (ValueError(""), "ValueError"),
        (KeyError("name"), "'name'"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
    )
    def test_the_first_line_of_an_exception_says_something(self, error, expected):
        self.assertEqual(first_line(error), expected)

    @parameterized.parameters(
        (0, ""),
        (1, "0"),
        (5, "0, 1, 2, 3, 4"),
        (6, "0, 1, 2, 3, 4 and 1 more"),
        (12_345, "0, 1, 2, 3, 4 and 12,340 more"),
    )
    def test_long_lists_are_cut(self, count, expected):
        self.assertEqual(name_some(range(count)), expected)

    def test_lists_can_be_cut_elsewhere_and_otherwise(self):
        self.assertEqual(name_some("abcd", most=2, separator="; "), "a; b and 2 more")

    def test_a_list_can_have_been_cut_before(self):
        self.assertEqual(name_some(["a", "b"], count=9), "a, b and 7 more")
        self.assertEqual(name_some(["a", "b"], count=2), "a, b")

    @parameterized.parameters(
        (0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (61, "1 min 1 s"), (7260, "2 h 1 min")
    )
    def test_durations_have_two_units(self, seconds, expected):
        self.assertEqual(format_duration(seconds), expected)


if __name__ == "__main__":
    absltest.main()

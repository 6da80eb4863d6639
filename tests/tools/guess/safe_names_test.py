"""Every class gets a name that every file system takes, and no name is given twice."""

import shutil
import tempfile
from pathlib import Path

from absl.testing import absltest, parameterized

from tools.guess.safe_names import FreeNames, safe, safe_and_distinct


class SafeTest(parameterized.TestCase):
    @parameterized.parameters(
        ("elsa", "elsa"),
        ("darth vader", "darth vader"),
        ("Ärger", "Ärger"),
        ("A\u0308rger", "Ärger"),
        ("日本語", "日本語"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("👩\u200d🚒", "👩\u200d🚒"),
        ("../../etc", "_.._etc"),
        ("/etc/passwd", "_etc_passwd"),
        ("..", "unnamed"),
        ("", "unnamed"),
        (" \n ", "unnamed"),
        ("a\nb\tc", "a b c"),
        ("a\0b\x1b[31mc", "a_b_[31mc"),
        ("\u202egnp", "_gnp"),
        ("-rf", "rf"),
        ("~root", "root"),
        (".hidden", "hidden"),
        ("ends with dots. . .", "ends with dots"),
        ('a<b>c:d"e|f?g*h\\i', "a_b_c_d_e_f_g_h_i"),
        ("CON", "CON_"),
        ("con.txt", "con_.txt"),
        ("Com1", "Com1_"),
        ("lpt¹", "lpt¹_"),
        ("console", "console"),
        ("\ud800", "_"),
    )
    def test_names(self, label: str, name: str):
        self.assertEqual(safe(label), name)

    @parameterized.parameters("x" * 5000, "語" * 5000, "👩\u200d🚒" * 300, " ." * 200 + "x" * 300)
    def test_long_ones_leave_room_for_score_and_number(self, label: str):
        self.assertBetween(len(safe(label).encode()), 100, 120)

    def test_labels_stay_apart(self):
        labels = ["a/b", "a:b", "A?B", "unsure", "", "unnamed", "x" * 200, "x" * 201]
        names = safe_and_distinct(labels, reserved=["unsure"])
        self.assertEqual(list(names), labels)
        self.assertLen({name.casefold() for name in names.values()} | {"unsure"}, 9)
        self.assertEqual([names["a/b"], names["a:b"], names["A?B"]], ["a_b", "a_b-2", "A_B-3"])


class FreeNamesTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.names = FreeNames(self.folder)

    def test_numbers_go_before_the_extension(self):
        given = [self.names.take("in/a.tar.JPG") for _ in range(3)]
        self.assertEqual(given, ["in/a.tar.JPG", "in/a.tar-2.JPG", "in/a.tar-3.JPG"])

    def test_what_is_in_the_folder_is_taken_even_a_broken_link(self):
        (self.folder / "a.jpg").touch()
        (self.folder / "a-2.jpg").symlink_to("nowhere")
        self.assertEqual(self.names.take("a.jpg"), "a-3.jpg")

    def test_case_does_not_make_names_differ(self):
        self.assertEqual([self.names.take("A.jpg"), self.names.take("a.JPG")], ["A.jpg", "a-2.JPG"])

    def test_given_names_may_be_forgotten_when_they_are_used(self):
        (self.folder / self.names.take("a.jpg")).touch()
        self.names.forget_given()
        self.assertEqual(self.names.take("a.jpg"), "a-2.jpg")

    def test_numbers_do_not_make_names_too_long(self):
        for letter in ("x", "é", "語"):
            name = letter * (251 // len(letter.encode())) + ".jpg"
            for _ in range(12):
                (self.folder / self.names.take(name)).touch()
                self.names.forget_given()
        self.assertLen(list(self.folder.iterdir()), 36)

    def test_many_of_one_name_are_given_in_no_time(self):
        given = {self.names.take("a.jpg") for _ in range(20_000)}
        self.assertLen(given, 20_000)


if __name__ == "__main__":
    absltest.main()

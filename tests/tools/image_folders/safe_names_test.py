"""Every class gets a name that all file systems allow, and no name is reserved twice."""

import shutil
import tempfile
from pathlib import Path

from absl.testing import absltest, parameterized

from tools.image_folders.safe_names import UnusedNames, distinct_safe_names, safe_name


class SafeNameTest(parameterized.TestCase):
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
    def test_unsafe_parts_are_replaced(self, label: str, name: str):
        self.assertEqual(safe_name(label), name)

    @parameterized.parameters("x" * 5000, "語" * 5000, "👩\u200d🚒" * 300, " ." * 200 + "x" * 300)
    def test_long_names_leave_room_for_score_and_number(self, label: str):
        self.assertBetween(len(safe_name(label).encode()), 100, 120)

    def test_labels_get_different_names(self):
        labels = ["a/b", "a:b", "A?B", "unsure", "", "unnamed", "x" * 200, "x" * 201]
        names = distinct_safe_names(labels, reserved=["unsure"])
        self.assertEqual(list(names), labels)
        self.assertLen({name.casefold() for name in names.values()} | {"unsure"}, 9)
        self.assertEqual([names["a/b"], names["a:b"], names["A?B"]], ["a_b", "a_b-2", "A_B-3"])


class UnusedNamesTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.names = UnusedNames(self.folder)

    def test_numbers_go_before_the_extension(self):
        reserved = [self.names.reserve("in/a.tar.JPG") for _ in range(3)]
        self.assertEqual(reserved, ["in/a.tar.JPG", "in/a.tar-2.JPG", "in/a.tar-3.JPG"])

    def test_existing_files_and_broken_links_are_not_reused(self):
        (self.folder / "a.jpg").touch()
        (self.folder / "a-2.jpg").symlink_to("nowhere")
        self.assertEqual(self.names.reserve("a.jpg"), "a-3.jpg")

    def test_names_that_differ_only_in_case_are_the_same(self):
        self.assertEqual(
            [self.names.reserve("A.jpg"), self.names.reserve("a.JPG")], ["A.jpg", "a-2.JPG"]
        )

    def test_released_names_are_not_reserved_if_their_file_exists(self):
        (self.folder / self.names.reserve("a.jpg")).touch()
        self.names.release_all()
        self.assertEqual(self.names.reserve("a.jpg"), "a-2.jpg")

    def test_numbers_do_not_exceed_the_maximum_length(self):
        for letter in ("x", "é", "語"):
            name = letter * (251 // len(letter.encode())) + ".jpg"
            for _ in range(12):
                (self.folder / self.names.reserve(name)).touch()
                self.names.release_all()
        self.assertLen(list(self.folder.iterdir()), 36)

    def test_reserving_one_name_many_times_is_fast(self):
        reserved = {self.names.reserve("a.jpg") for _ in range(20_000)}
        self.assertLen(reserved, 20_000)


if __name__ == "__main__":
    absltest.main()

"""Flags become paths, and a default that another user put in place is not used."""

from pathlib import Path

from absl import flags
from absl.testing import absltest

from retrain.errors import UserError
from retrain.system.program.path_flags import graph_path, optional_path
from tests.support import other_users


class OptionalPathTest(absltest.TestCase):
    def test_a_missing_or_empty_path_is_none(self):
        values = flags.FlagValues()
        flag = flags.DEFINE_string("path", None, "Some path.", flag_values=values)
        for arguments, expected in (
            ([], None),
            (["--path="], None),
            (["--path=/a/../b"], Path("/b")),
        ):
            values.unparse_flags()
            values["path"].unparse()
            values(["program", *arguments])
            self.assertEqual(optional_path(flag), expected)


class GraphPathTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.folder.chmod(0o1777)
        self.default = self.folder / "output_graph.pb"
        self.values = flags.FlagValues()
        self.flag = flags.DEFINE_string(
            "graph", str(self.default), "Classifier.", flag_values=self.values
        )

    def parse(self, *arguments: str) -> Path:
        self.values(["program", *arguments])
        return graph_path(self.flag)

    def test_the_default_and_named_files_are_used(self):
        self.default.touch()
        self.assertEqual(self.parse(), self.default)
        self.assertEqual(self.parse("--graph=/a/../b.pb"), Path("/b.pb"))

    def test_an_empty_path_is_refused_because_it_would_be_the_current_folder(self):
        with self.assertRaisesRegex(UserError, "^--graph= has no value; name a file or folder$"):
            self.parse("--graph=")

    def test_the_default_is_refused_if_another_user_put_it_there(self):
        other_users.make_file(self, self.default)
        with self.assertRaisesRegex(
            UserError,
            f"^--graph={self.default}, the default, is not safe: {self.default} belongs to the "
            f"user .*, and everyone can write to {self.folder}; name the classifier to use$",
        ):
            self.parse()
        self.assertEqual(self.parse(f"--graph={self.default}"), self.default)


if __name__ == "__main__":
    absltest.main()

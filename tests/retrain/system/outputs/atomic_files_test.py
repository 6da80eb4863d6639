"""A file or folder is replaced when the new one is complete, or stays."""

from pathlib import Path

from absl.testing import absltest, parameterized

from retrain.system.outputs.atomic_files import atomic_file, atomic_folder, write_file


class FolderTestCase(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.rglob("*"))


class AtomicFileTest(FolderTestCase):
    def test_text_is_written_as_utf8_to_a_new_folder(self):
        path = self.folder / "a" / "b" / "model.pb"
        write_file(path, "é\n")
        self.assertEqual(path.read_bytes(), b"\xc3\xa9\n")
        self.assertEqual(self.names(), ["a", "b", "model.pb"])

    def test_the_old_file_is_replaced_only_at_the_end(self):
        path = self.folder / "model.pb"
        path.write_text("old")
        with atomic_file(path) as temporary:
            temporary.write_text("new")
            self.assertEqual(path.read_text(), "old")
        self.assertEqual(path.read_text(), "new")
        self.assertEqual(self.names(), ["model.pb"])

    @parameterized.parameters(ValueError, KeyboardInterrupt)
    def test_the_old_file_stays_if_the_block_fails(self, failure):
        path = self.folder / "model.pb"
        path.write_text("old")
        with self.assertRaises(failure), atomic_file(path) as temporary:
            temporary.write_text("half")
            raise failure
        self.assertEqual(path.read_text(), "old")
        self.assertEqual(self.names(), ["model.pb"])

    def test_errors_that_the_user_cannot_correct_are_not_user_errors(self):
        with self.assertRaises(FileNotFoundError), atomic_file(self.folder / "model.pb"):
            (self.folder / "missing").read_bytes()


class AtomicFolderTest(FolderTestCase):
    def test_a_new_folder_is_made_with_its_parents(self):
        path = self.folder / "a" / "b"
        with atomic_folder(path) as temporary:
            (temporary / "file").write_text("new")
        self.assertEqual([p.name for p in path.parent.iterdir()], ["b"])
        self.assertEqual((path / "file").read_text(), "new")

    def test_the_old_folder_is_replaced_only_at_the_end(self):
        path = self.folder / "b"
        (path / "deep").mkdir(parents=True)
        (path / "deep" / "old").write_text("old")
        with atomic_folder(path) as temporary:
            (temporary / "new").write_text("new")
            self.assertTrue((path / "deep" / "old").exists())
        self.assertEqual([p.name for p in path.iterdir()], ["new"])
        self.assertEqual([p.name for p in self.folder.iterdir()], ["b"])

    def test_the_old_folder_stays_if_the_block_fails(self):
        path = self.folder / "b"
        path.mkdir()
        (path / "old").write_text("old")
        with self.assertRaises(ZeroDivisionError), atomic_folder(path) as temporary:
            (temporary / "new").write_text("new")
            raise ZeroDivisionError
        self.assertEqual([p.name for p in path.iterdir()], ["old"])
        self.assertEqual([p.name for p in self.folder.iterdir()], ["b"])


if __name__ == "__main__":
    absltest.main()

"""Checksums detect every change of a folder."""

import hashlib
from pathlib import Path

from absl.testing import absltest

from retrain.system.files import checksums

_CONTENTS = {"a.txt": b"one", "empty": b"", "inner/b": b"two" * 1_000_000}


class ChecksumsTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        (self.folder / "inner").mkdir()
        for name, content in _CONTENTS.items():
            (self.folder / name).write_bytes(content)

    def test_a_folder_without_checksums_is_accepted(self):
        self.assertTrue(checksums.are_right(self.folder))

    def test_the_file_has_the_format_of_sha256sum(self):
        checksums.write_checksums(self.folder)
        expected = [f"{hashlib.sha256(c).hexdigest()}  {name}" for name, c in _CONTENTS.items()]
        self.assertEqual((self.folder / "SHA256SUMS").read_text().splitlines(), expected)

    def test_every_change_is_detected(self):
        checksums.write_checksums(self.folder)
        self.assertTrue(checksums.are_right(self.folder))
        for name in (*_CONTENTS, "SHA256SUMS"):
            path = self.folder / name
            content = path.read_bytes()
            for changed in (content + b"x", content[:-1], bytes(len(content)), None):
                if changed == content:
                    continue
                path.unlink() if changed is None else path.write_bytes(changed)
                expected = name == "SHA256SUMS" and changed is None
                self.assertEqual(checksums.are_right(self.folder), expected, name)
            path.write_bytes(content)
        self.assertTrue(checksums.are_right(self.folder))

    def test_a_new_file_is_detected(self):
        checksums.write_checksums(self.folder)
        (self.folder / "inner/new").touch()
        self.assertFalse(checksums.are_right(self.folder))

    def test_names_can_be_invalid_text(self):
        Path(self.folder, "name \udcff").touch()
        checksums.write_checksums(self.folder)
        self.assertTrue(checksums.are_right(self.folder))

    def test_digests_of_a_file(self):
        path = self.folder / "a.txt"
        self.assertEqual(checksums.sha256(path), hashlib.sha256(b"one").hexdigest())
        self.assertEqual(checksums.md5(path), hashlib.md5(b"one").hexdigest())


if __name__ == "__main__":
    absltest.main()

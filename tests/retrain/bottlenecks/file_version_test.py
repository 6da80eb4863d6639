"""Tests that versions recognise changed files, and when they are certain to do so."""

import os
import time
from pathlib import Path

from absl.testing import absltest

from retrain.bottlenecks.file_version import FileVersion


class FileVersionTest(absltest.TestCase):
    def test_a_version_settles_two_seconds_after_the_last_change(self):
        second = 10**9
        now = 1000 * second
        for mtime, ctime, expected in (
            (now - 3 * second, now - 3 * second, True),
            (now - 3 * second, now - 1 * second, False),
            (now - 1 * second, now - 3 * second, False),
            (now - 2 * second, now - 2 * second, False),
            (now + 9 * second, now - 3 * second, False),
            (2**63 + 5, now - 3 * second, False),
        ):
            self.assertEqual(FileVersion(1, 2, 3, mtime, ctime).is_settled(now), expected)

    def test_a_new_file_with_an_old_mtime_is_not_settled(self):
        image = Path(self.create_tempdir().full_path, "a.png")
        image.write_bytes(b"one")
        os.utime(image, (0, 0))
        self.assertFalse(FileVersion.from_stat(image.stat()).is_settled(time.time_ns()))
        self.assertTrue(FileVersion.from_stat(image.stat()).is_settled(time.time_ns() + 5 * 10**9))

    def test_a_change_of_the_content_changes_the_version(self):
        path = Path(self.create_tempdir().full_path, "a.png")
        path.write_bytes(b"one")
        before = FileVersion.from_stat(path.stat())
        self.assertEqual(FileVersion.from_stat(path.stat()), before)
        path.write_bytes(b"three")
        self.assertNotEqual(FileVersion.from_stat(path.stat()), before)

    def test_only_a_file_that_exists_has_a_version(self):
        path = Path(self.create_tempdir().full_path, "a.png")
        self.assertIsNone(FileVersion.of(path))
        path.write_bytes(b"one")
        self.assertEqual(FileVersion.of(path), FileVersion.from_stat(path.stat()))


if __name__ == "__main__":
    absltest.main()

"""Files in folders of different file systems behave alike."""

import os
import time
from pathlib import Path

from absl.testing import absltest, parameterized

from retrain.errors import UserError
from retrain.shards import file_systems
from retrain.shards.storage import Storage
from tests.support import privileges


def setUpModule():
    privileges.drop()


class StorageTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)

    def storage(self, kind: str) -> Storage:
        urls = {"local": f"{self.folder}/new/folder", "memory": f"memory://{self.id()}/folder"}
        return Storage(urls[kind], "image_dir")

    @parameterized.parameters("local", "memory")
    def test_a_written_file_can_be_listed_and_read(self, kind: str):
        files = self.storage(kind)
        self.assertEqual(files.list_files(), [])
        files.write("a/b.jpg", b"123") if kind == "local" else files.write("b.jpg", b"123")
        (listed,) = files.list_files()
        self.assertEqual(listed.size, 3)
        self.assertEqual(files.read(listed.name), b"123")

    @parameterized.parameters("local", "memory")
    def test_a_file_is_replaced(self, kind: str):
        files = self.storage(kind)
        for content in (b"123", b"4567"):
            files.write("x", content)
        self.assertEqual(files.read("x"), b"4567")
        self.assertEqual([file.name for file in files.list_files()], ["x"])

    @parameterized.parameters("local", "memory")
    def test_a_missing_file(self, kind: str):
        with self.assertRaises(FileNotFoundError):
            self.storage(kind).read("none")

    @parameterized.parameters("local", "memory")
    def test_checking_leaves_nothing_behind(self, kind: str):
        files = self.storage(kind)
        files.check_writable()
        self.assertEqual(files.list_files(), [])

    @parameterized.parameters("local", "memory")
    def test_names_are_selected(self, kind: str):
        files = self.storage(kind)
        for name in ("part-2.x", "part-1.x", "part-3.y", "other.x", "part-0/1.x"):
            files.write(name, b"")
        self.assertEqual(files.find("part-", ".x"), ["part-1.x", "part-2.x"])

    def test_times_of_local_files_are_exact(self):
        files = self.storage("local")
        files.write("x", b"1")
        os.utime(files.path("x"), ns=(1, 1_234_567_890_123_456_789))
        self.assertEqual(files.list_files()[0].modified, "1234567890123456789")
        self.assertEqual(files.describe_file("x"), files.list_files()[0])
        self.assertIsNone(files.describe_file("none"))

    def test_new_files_have_no_version(self):
        files = self.storage("local")
        files.write("x", b"1")
        self.assertEqual(files.list_files()[0].modified, "")
        old = time.time_ns() - 3_000_000_000
        os.utime(files.path("x"), ns=(old, old))
        self.assertEqual(files.list_files()[0].modified, str(old))

    def test_a_changed_object_has_another_version(self):
        files = self.storage("memory")
        files.write("x", b"1")
        before = files.list_files()
        time.sleep(0.01)
        files.write("x", b"2")
        self.assertNotEqual(files.list_files(), before)

    def test_a_folder_without_permission(self):
        self.folder.chmod(0o500)
        with self.assertRaisesRegex(UserError, "--results=.*cannot be used: Permission denied"):
            Storage(f"{self.folder}/x", "results").write("x", b"")

    @parameterized.parameters(
        ("ACCESS_DENIED", "access is denied"),
        ("NO_SUCH_BUCKET", "the bucket does not exist"),
        ("SLOW_DOWN", "AWS Error SLOW_DOWN during PutObject operation"),
    )
    def test_errors_of_buckets_are_one_line(self, code: str, expected: str):
        error = OSError(f"AWS Error {code} during PutObject operation\nDetails: many")
        with self.assertRaises(UserError) as raised, self.storage("local").explain():
            raise error
        self.assertIn(f"cannot be used: {expected};", str(raised.exception))
        self.assertNotIn("\n", str(raised.exception))
        self.assertTrue(file_systems.is_access_error(error))

    def test_an_unknown_file_system(self):
        with self.assertRaisesRegex(UserError, "--results=nonsense://x cannot be used"):
            Storage("nonsense://x", "results")

    @parameterized.parameters(
        ("s3://bucket/folder/", "s3://bucket/folder"),
        ("/a/b/", "/a/b"),
        ("file:///a/b", "/a/b"),
    )
    def test_urls_and_paths(self, typed: str, expected: str):
        self.assertEqual(file_systems.parse_url(typed), expected)
        self.assertEqual(file_systems.is_url(typed), expected.startswith("s3"))

    def test_relative_paths_start_where_the_user_is(self):
        with absltest.mock.patch.dict(os.environ, BUILD_WORKING_DIRECTORY="/home/user"):
            self.assertEqual(file_systems.parse_url("images"), "/home/user/images")


if __name__ == "__main__":
    absltest.main()

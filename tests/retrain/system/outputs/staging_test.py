"""Files and folders are put in place all together or not at all."""

import errno
import os
import stat
import threading
from pathlib import Path
from unittest import mock

from absl.testing import absltest, parameterized

from retrain.errors import UserError
from retrain.system.outputs import commit, exchange, replacement, staging
from retrain.system.outputs.replacement import Replacement
from retrain.system.outputs.staging import Staging
from tests.support.python_code import run_python


class StagingTestCase(parameterized.TestCase):
    """A folder with an old file and an old folder, and staging that would replace them."""

    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.file = self.folder / "labels.txt"
        self.model = self.folder / "model.mlpackage"
        self.new_file = self.folder / "new.txt"
        self.new_model = self.folder / "new_model"
        self.file.write_text("old")
        self.model.mkdir()
        (self.model / "old").write_text("old")

    def write_all(self, results: Staging) -> None:
        results.file(self.file).write_text("new")
        (results.folder(self.model) / "new").write_text("new")
        results.file(self.new_file).write_text("new")
        (results.folder(self.new_model) / "new").write_text("new")

    def names(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*"))

    def assert_old(self) -> None:
        self.assertEqual(self.names(), ["labels.txt", "model.mlpackage", "model.mlpackage/old"])
        self.assertEqual(self.file.read_text(), "old")

    def assert_new(self) -> None:
        self.assertEqual(
            self.names(),
            [
                *("labels.txt", "model.mlpackage", "model.mlpackage/new"),
                *("new.txt", "new_model", "new_model/new"),
            ],
        )
        self.assertEqual(self.file.read_text(), "new")

    def pretend_that_folders_cannot_be_exchanged(self) -> None:
        self.enter_context(
            mock.patch.object(
                replacement, "exchange", side_effect=exchange.ExchangeUnsupportedError
            )
        )


class StagingTest(StagingTestCase):
    @parameterized.parameters(True, False)
    def test_all_are_put_in_place_at_the_end(self, with_exchange):
        if not with_exchange:
            self.pretend_that_folders_cannot_be_exchanged()
        with Staging() as results:
            self.write_all(results)
            self.assertEqual(self.file.read_text(), "old")
            self.assertFalse(self.new_file.exists())
            self.assertTrue((self.model / "old").exists())
        self.assert_new()

    @parameterized.parameters(True, False)
    def test_all_stay_if_the_block_fails(self, with_exchange):
        if not with_exchange:
            self.pretend_that_folders_cannot_be_exchanged()
        for failure in (ValueError, KeyboardInterrupt):
            with self.assertRaises(failure), Staging() as results:
                self.write_all(results)
                raise failure
            self.assert_old()

    @parameterized.product(
        with_exchange=(True, False),
        failing=("labels.txt", "model.mlpackage", "new.txt", "new_model"),
    )
    def test_all_stay_if_one_cannot_be_put_in_place(self, with_exchange, failing):
        if not with_exchange:
            self.pretend_that_folders_cannot_be_exchanged()
        place = Replacement.place

        def place_all_but_one(replacement: Replacement) -> None:
            if replacement.name == failing:
                raise OSError(errno.EBUSY, "Device or resource busy")
            place(replacement)

        with (
            mock.patch.object(Replacement, "place", place_all_but_one),
            self.assertRaisesRegex(UserError, f"{failing} cannot be written: Device or resource"),
            Staging() as results,
        ):
            self.write_all(results)
        self.assert_old()

    def test_permissions_that_forbid_a_rename_are_a_user_error_and_all_stay(self):
        done = run_python(
            """
import pathlib, sys
from retrain.errors import UserError
from retrain.system.outputs.replacement import Replacement
from retrain.system.outputs.staging import Staging
from tests.support import privileges
folder = pathlib.Path(sys.argv[1])
privileges.drop()
try:
    with Staging() as staging:
        staging.file(folder / "labels.txt").write_text("new")
        staging.file(folder / "read_only" / "metrics.json").write_text("new")
        (folder / "read_only").chmod(0o555)
except UserError as error:
    print(error)
""",
            self._with_another_folder(),
        )
        (self.folder / "read_only").chmod(0o755)
        self.assertRegex(done.stdout, "read_only cannot be written: Permission denied", done.stderr)
        self.assertEqual(self.file.read_text(), "old")
        self.assertFalse((self.folder / "read_only" / "metrics.json").exists())

    def _with_another_folder(self) -> Path:
        (self.folder / "read_only").mkdir()
        return self.folder

    def test_temporary_paths_have_the_final_name_and_the_same_file_system(self):
        with Staging() as results:
            for temporary in (results.file(self.new_file), results.folder(self.model)):
                self.assertIn(temporary.name, ("new.txt", "model.mlpackage"))
                self.assertEqual(temporary.stat().st_dev, self.folder.stat().st_dev)

    def test_everything_is_flushed_before_anything_is_put_in_place(self):
        flushed = []

        def record(path: Path) -> None:
            flushed.append((path.name, self.file.read_text()))

        with (
            mock.patch.object(staging, "flush_file", record),
            mock.patch.object(staging, "flush_folder", record),
            mock.patch.object(commit, "flush_folder", record),
            Staging() as results,
        ):
            self.write_all(results)
        *contents, workspace, before, after = flushed
        self.assertCountEqual(
            contents,
            [
                (name, "old")
                for name in ("labels.txt", "new.txt", "model.mlpackage", "new", "new_model", "new")
            ],
        )
        self.assertStartsWith(workspace[0], ".retrain-unfinished-")
        # The names of the new files and of the journal, and then the results of the renames.
        self.assertEqual([before, after], [(self.folder.name, "old"), (self.folder.name, "new")])

    def test_a_thread_can_put_files_in_place(self):
        def write() -> None:
            with Staging() as results:
                self.write_all(results)

        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
        self.assert_new()

    def test_nothing_staged_is_nothing_done(self):
        with Staging():
            pass
        self.assert_old()


class TypeTest(StagingTestCase):
    def test_a_folder_is_not_replaced_by_a_file(self):
        with (
            self.assertRaisesRegex(UserError, "mlpackage cannot be written: Is a directory"),
            Staging() as results,
        ):
            results.file(self.model)
        self.assert_old()

    def test_a_file_is_not_replaced_by_a_folder(self):
        with (
            self.assertRaisesRegex(UserError, "labels.txt cannot be written: there is a file"),
            Staging() as results,
        ):
            results.folder(self.file)
        self.assert_old()

    def test_a_file_that_was_made_in_the_meantime_is_not_replaced_by_a_folder(self):
        with (
            self.assertRaisesRegex(UserError, "new_model cannot be written: there is a file"),
            Staging() as results,
        ):
            results.folder(self.new_model)
            self.new_model.write_text("mine")
        self.assertEqual(self.new_model.read_text(), "mine")

    def test_a_device_is_not_replaced(self):
        # Root could replace it, and then no program on the machine would have a /dev/null.
        os.mkfifo(self.folder / "pipe")
        with self.assertRaisesRegex(UserError, "is not a regular file"), Staging() as results:
            results.file(self.folder / "pipe")
        self.assertTrue((self.folder / "pipe").is_fifo())

    def test_a_file_where_a_folder_is_needed_is_a_user_error(self):
        with self.assertRaisesRegex(UserError, "cannot be written"), Staging() as results:
            results.file(self.file / "model.pb")

    def test_links_are_replaced_and_their_targets_stay(self):
        (self.folder / "file_link").symlink_to(self.file)
        (self.folder / "folder_link").symlink_to(self.model)
        with Staging() as results:
            results.file(self.folder / "file_link").write_text("new")
            (results.folder(self.folder / "folder_link") / "new").write_text("new")
        self.assertEqual(self.file.read_text(), "old")
        self.assertTrue((self.model / "old").exists())
        self.assertFalse((self.folder / "file_link").is_symlink())
        self.assertEqual((self.folder / "file_link").read_text(), "new")
        self.assertFalse((self.folder / "folder_link").is_symlink())
        self.assertTrue((self.folder / "folder_link" / "new").exists())

    def test_links_are_restored_if_something_else_fails(self):
        (self.folder / "a_file_link").symlink_to(self.file)
        (self.folder / "a_folder_link").symlink_to(self.model)
        with self.assertRaises(UserError), Staging() as results:
            results.file(self.folder / "a_file_link").write_text("new")
            results.folder(self.folder / "a_folder_link")
            results.file(self.folder / "z")
            (self.folder / "z").mkdir()
        self.assertEqual((self.folder / "a_file_link").readlink(), self.file)
        self.assertEqual((self.folder / "a_folder_link").readlink(), self.model)

    def test_names_can_have_the_greatest_length(self):
        path = self.folder / ("模" * 85)  # 255 bytes in UTF-8.
        with Staging() as results:
            results.file(path).write_text("new")
            results.folder(self.folder / ("样" * 85))
        self.assertEqual(path.read_text(), "new")
        self.assertTrue((self.folder / ("样" * 85)).is_dir())


class PermissionsTest(StagingTestCase):
    @parameterized.parameters(0o022, 0o027, 0o077, 0o002)
    def test_the_umask_decides_about_permissions(self, umask):
        self.addCleanup(os.umask, os.umask(umask))
        with Staging() as results:
            results.file(self.file).write_text("new")
            folder = results.folder(self.model)
            (folder / "deep").mkdir(0o700)
            (folder / "deep" / "file").touch(0o600)
        modes = {
            path.name: stat.S_IMODE(path.stat().st_mode)
            for path in (self.file, self.model, *self.model.rglob("*"))
        }
        folders, files = 0o777 & ~umask, 0o666 & ~umask
        self.assertEqual(
            modes,
            {"labels.txt": files, "model.mlpackage": folders, "deep": folders, "file": files},
        )

    def test_the_umask_of_the_process_is_never_changed(self):
        with mock.patch("os.umask", side_effect=AssertionError), Staging() as results:
            self.write_all(results)

    def test_new_files_inherit_the_group_of_their_folder(self):
        groups = [group for group in os.getgroups() if group != os.getgid()]
        group = 12345 if os.geteuid() == 0 else next(iter(groups), None)
        if group is None:
            self.skipTest("this user is in one group only")
        try:
            os.chown(self.folder, -1, group)
        except OSError as error:  # In a sandbox with one group, as Bazel's on Linux.
            self.skipTest(f"group {group} cannot be used here: {error.strerror}")
        self.folder.chmod(0o2775)
        with Staging() as results:
            self.write_all(results)
        self.assertEqual({path.stat().st_gid for path in self.folder.rglob("*")}, {group})


class FullDiskTest(StagingTestCase):
    @parameterized.parameters("new.txt", "labels.txt")
    def test_a_full_disk_is_a_user_error_and_the_old_file_stays(self, name):
        # The kernel lets no file grow beyond this limit, as on a full disk.
        done = run_python(
            """
import pathlib, resource, sys
from retrain.errors import UserError
from retrain.system.outputs.atomic_files import write_file
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_file(pathlib.Path(sys.argv[1]), b"x" * 2000)
except UserError as error:
    print(error)
""",
            self.folder / name,
        )
        message = f"{self.folder / name} cannot be written: File too large"
        self.assertEqual(done.stdout.strip(), message, done.stderr)
        self.assert_old()

    def test_an_error_names_the_file_that_was_being_written(self):
        with (
            self.assertRaisesRegex(UserError, "labels.txt cannot be written: Permission denied$"),
            Staging() as results,
        ):
            temporary = results.file(self.file)
            results.folder(self.model)
            raise PermissionError(13, "Permission denied", str(temporary))

    @parameterized.parameters(errno.ENOSPC, errno.EDQUOT)
    def test_an_error_names_the_flag_and_says_what_to_do_if_the_disk_is_full(self, number):
        flags = {"labels": self.file, "plots_dir": self.model}
        for path, flag in ((self.file, "labels"), (self.model / "a.png", "plots_dir")):
            with (
                self.assertRaises(UserError) as caught,
                Staging(flags) as results,
            ):
                raise OSError(number, os.strerror(number), str(results.file(path)))
            self.assertEqual(
                str(caught.exception),
                f"--{flag}={flags[flag]} cannot be written: {os.strerror(number)}; free some "
                "space, or choose another folder",
            )

    @parameterized.parameters(
        "RESOURCE_EXHAUSTED: /x/variables.data; No space left on device",
        "Unable to write (errno = 28, error message = 'No space left on device', buf = 0x5)",
        "basic_ios::clear: Disk quota exceeded",
        "file too large",
    )
    def test_a_full_disk_that_a_library_reports_in_words_is_a_user_error(self, text):
        with (
            self.assertRaisesRegex(UserError, "mlpackage cannot be written: [A-Z][a-z ]*(;|$)"),
            Staging() as results,
        ):
            results.folder(self.model)
            try:
                raise RuntimeError(text)
            except RuntimeError as error:
                raise ValueError("the file could not be saved") from error
        self.assert_old()

    def test_other_errors_of_libraries_and_their_advice_stay(self):
        for error in (RuntimeError("shape"), UserError("choose: No space left on device")):
            with self.assertRaises(type(error)) as caught, Staging() as results:
                results.file(self.file)
                raise error
            self.assertIs(caught.exception, error)
        self.assert_old()

    def test_an_error_about_another_file_names_both(self):
        with (
            self.assertRaisesRegex(UserError, "labels.txt cannot be written: /x/y: No space"),
            Staging() as results,
        ):
            results.file(self.file)
            raise OSError(28, "No space left on device", "/x/y")


if __name__ == "__main__":
    absltest.main()

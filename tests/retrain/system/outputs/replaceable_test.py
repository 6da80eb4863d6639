"""What cannot be replaced at the end of a run is found at its start, and stays as it is."""

import errno
import shutil
import subprocess
import tempfile
from pathlib import Path
from unittest import mock

from absl.testing import absltest, parameterized

from retrain.errors import UserError
from retrain.system.files.path_owners import current_user
from retrain.system.outputs import checks, replaceable
from retrain.system.outputs.journal_files import journal_file
from retrain.system.outputs.staging import Staging
from tests.support import other_users


class ReplaceableTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.file = self.folder / "labels.txt"
        self.file.write_text("old")
        self.model = self.folder / "model"
        self.model.mkdir()
        (self.model / "Data").write_text("old")

    def check(self, path: Path) -> None:
        if path.is_dir():
            checks.check_output_folder(path, "out", {"Data"})
        else:
            checks.check_writable(path, "out")

    def assert_refused(self, path: Path, message: str) -> None:
        with self.assertRaisesRegex(UserError, f"^--out={path} cannot be written: [^\n]*{message}"):
            self.check(path)

    def test_usual_files_and_folders_are_accepted_and_unchanged(self):
        (self.folder / "empty").mkdir()
        (self.folder / "link").symlink_to("labels.txt")
        (self.folder / "broken_link").symlink_to("nowhere")
        (self.folder / "empty.txt").touch()
        before = sorted(self.folder.rglob("*"))
        for path in (*before, self.folder / "new", self.folder / "a" / "b" / "new"):
            if path.name != "Data":
                self.check(path)
        self.assertEqual(sorted(self.folder.rglob("*")), before)

    @parameterized.parameters("i", "a")
    def test_a_protected_file_or_folder(self, attribute):
        for path in (self.file, self.model):
            self.protect(path, attribute)
            self.assert_refused(path, "(not permitted|denied): it cannot be replaced, because")

    def protect(self, path: Path, attribute: str) -> None:
        command = ["chattr", f"+{attribute}", str(path)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            self.skipTest("files cannot be made immutable here")
        self.addCleanup(subprocess.run, ["chattr", f"-{attribute}", str(path)], check=True)

    def test_a_mounted_file_or_folder_also_of_the_same_file_system(self):
        source, empty = self.folder / "source with space", self.folder / "empty \\ folder"
        source.write_text("mounted")
        empty.mkdir()
        for mounted, path in (
            (source, self.file), (self.model, self.model), (empty, empty)
        ):  # fmt: skip
            self.mount(mounted, path)
            self.assertTrue(replaceable.is_mount_point(path))
        self.assert_refused(self.file, "mount point.*; mount the folder that contains it instead$")
        for path in (self.model, empty):
            with self.assertRaisesRegex(UserError, "mount point.*; name a folder in it, such as"):
                self.check(path)

    def mount(self, source: Path, target: Path) -> None:
        command = ["mount", "--bind", str(source), str(target)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            self.skipTest("this process cannot mount anything")
        self.addCleanup(subprocess.run, ["umount", str(target)], check=True)

    def test_mount_points_of_containers_are_recognised(self):
        mounts = self.folder / "mountinfo"
        name = str(self.folder / "a b").replace(" ", "\\040")
        mounts.write_text(f"36 35 98:0 /mnt1 {name} rw,noatime master:1 - ext3 /dev/root rw\n")
        self.enter_context(mock.patch.object(replaceable, "_MOUNTS", mounts))
        self.assertTrue(replaceable.is_mount_point(self.folder / "a b"))
        self.assertFalse(replaceable.is_mount_point(self.folder / "a"))

    def test_another_users_file_in_a_folder_of_everyone(self):
        shared = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, shared)
        shared.chmod(0o1777)
        other_users.make_file(self, shared / "labels.txt")
        self.assert_refused(shared / "labels.txt", "user")

    def test_the_sticky_bit_protects_files_from_other_users(self):
        error = PermissionError(errno.EPERM, "Operation not permitted")
        self.enter_context(mock.patch.object(Path, "rmdir", side_effect=error))
        self.assert_refused(self.file, "Operation not permitted: it cannot be replaced")
        self.assert_refused(self.model, "Operation not permitted: it cannot be replaced")

    def test_parts_of_the_path_that_are_not_folders(self):
        (self.folder / "broken").symlink_to("nowhere")
        for name in ("broken", "labels.txt"):
            self.assert_refused(self.folder / name / "x.pb", f"{name}: it is not a folder; choose")
            self.assert_refused(self.folder / name / "a" / "x", f"{name}: it is not a folder; ")

    def test_what_others_put_in_place_of_the_journal(self):
        journal = journal_file(self.folder, current_user())
        journal.symlink_to(self.file)
        for path in (self.file, self.model):
            with self.assertRaisesRegex(UserError, f"^{journal}, which .* cannot be opened: "):
                self.check(path)

    def test_names_that_are_too_long(self):
        for path in (self.folder / ("x" * 256), self.folder / ("x" * 256) / "a" / "b"):
            for check in (checks.check_writable, checks.check_folder_writable):
                with self.assertRaisesRegex(UserError, "^--out=.*x.* a name has more than 255 "):
                    check(path, "out")

    def test_one_that_is_found_only_at_the_end_leaves_all_old_files(self):
        labels = self.folder / "z.txt"
        labels.write_text("old")
        with (
            self.assertRaisesRegex(UserError, "z.txt cannot be written: (Operation|Device)"),
            Staging() as staging,
        ):
            staging.file(self.file).write_text("new")
            (staging.folder(self.model) / "Data").write_text("new")
            staging.file(labels).write_text("new")
            self.protect(labels, "i")
        for path in (self.file, self.model / "Data", labels):
            self.assertEqual(path.read_text(), "old")
        self.assertCountEqual(self.folder.iterdir(), [self.file, self.model, labels])


if __name__ == "__main__":
    absltest.main()

"""Workspaces of killed runs are removed, and those of live ones are not."""

import errno
import os
import shutil
import signal
from pathlib import Path
from unittest import mock

from absl.testing import absltest, parameterized

from retrain.system.outputs import leftovers, workspace
from retrain.system.outputs.leftovers import remove_leftovers
from retrain.system.outputs.workspace import Workspace
from tests.support.python_code import run_python

_KILLED = """
import os, pathlib, signal, sys
from retrain.system.outputs.workspace import Workspace
workspace = Workspace(pathlib.Path(sys.argv[1]))
workspace.new_path("half").write_text("half")
os.kill(os.getpid(), signal.SIGKILL)
"""


class LeftoversTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)

    def count(self) -> int:
        return len(list(self.folder.iterdir()))

    def leave_behind(self) -> Path:
        before = set(self.folder.iterdir())
        self.assertEqual(run_python(_KILLED, self.folder).returncode, -signal.SIGKILL)
        (left,) = set(self.folder.iterdir()) - before
        return left

    def test_the_workspace_of_a_killed_run_is_removed_by_the_next(self):
        left = self.leave_behind()
        self.assertNotEmpty(list(left.rglob("half")))
        remove_leftovers(self.folder)
        self.assertEqual(self.count(), 0)

    def test_the_workspace_of_a_live_run_stays(self):
        live = Workspace(self.folder)
        self.addCleanup(live.remove)
        live.new_path("half").touch()
        done = run_python(
            "import pathlib, sys\n"
            "from retrain.system.outputs.leftovers import remove_leftovers\n"
            "remove_leftovers(pathlib.Path(sys.argv[1]))",
            self.folder,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        remove_leftovers(self.folder)
        self.assertNotEmpty(list(self.folder.rglob("half")))

    def test_a_removal_that_was_interrupted_is_finished(self):
        shutil.rmtree(self.leave_behind() / "1")
        remove_leftovers(self.folder)
        self.assertEqual(self.count(), 0)

    def test_an_empty_workspace_without_a_lock_is_removed(self):
        (self.folder / f"{workspace._PREFIX}empty").mkdir()
        remove_leftovers(self.folder)
        self.assertEqual(self.count(), 0)

    def test_a_folder_that_is_no_workspace_stays(self):
        foreign = self.folder / f"{workspace._PREFIX}notes"
        foreign.mkdir()
        (foreign / "thesis.txt").touch()
        (self.folder / ".hidden").mkdir()
        remove_leftovers(self.folder)
        self.assertTrue((foreign / "thesis.txt").exists())
        self.assertTrue((self.folder / ".hidden").exists())

    @parameterized.parameters(errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)
    def test_nothing_is_removed_on_a_file_system_without_locks(self, error):
        self.leave_behind()
        with mock.patch("filelock.lock_descriptor", side_effect=OSError(error, "no locks")):
            remove_leftovers(self.folder)
        self.assertEqual(self.count(), 1)

    def test_a_folder_that_cannot_be_listed_can_be_written(self):
        with mock.patch("os.scandir", side_effect=PermissionError):
            remove_leftovers(self.folder)
        space = Workspace(self.folder)
        self.addCleanup(space.remove)
        space.new_path("file").write_text("content")

    def test_a_workspace_of_another_user_and_links_stay(self):
        self.folder.chmod(0o777)
        elsewhere = Path(self.create_tempdir().full_path)
        (elsewhere / "lock").touch()
        (elsewhere / "thesis.txt").touch()
        (self.folder / f"{workspace._PREFIX}link").symlink_to(elsewhere)
        remove_leftovers(self.folder)
        self.assertTrue((elsewhere / "thesis.txt").exists())
        with mock.patch.object(leftovers, "current_user", return_value=os.geteuid() + 1):
            left = self.leave_behind()
            remove_leftovers(self.folder)
        self.assertTrue(left.exists())


if __name__ == "__main__":
    absltest.main()

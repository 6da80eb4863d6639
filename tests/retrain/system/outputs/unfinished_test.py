"""Programs see the outputs of one run, even after a kill, and nothing else is ever moved."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from unittest import mock

from absl.testing import absltest, parameterized

from retrain.errors import UserError
from retrain.system.files.path_owners import current_user
from retrain.system.outputs import commit, leftovers, unfinished
from retrain.system.outputs.journal_files import journal_file
from retrain.system.outputs.leftovers import remove_leftovers
from retrain.system.outputs.replacement import Replacement
from retrain.system.outputs.staging import Staging
from retrain.system.outputs.unfinished import settle
from tests.support import other_users
from tests.support.python_code import run_python

# Is killed after the last rename, when all outputs are new but the journals still exist.
_KILLED = """
import os, pathlib, signal, sys
from retrain.system.outputs import commit
from retrain.system.outputs.staging import Staging
commit.empty_journals = lambda _: os.kill(os.getpid(), signal.SIGKILL)
with Staging() as staging:
    for path in map(pathlib.Path, sys.argv[1:]):
        if path.suffix:
            staging.file(path).write_text("new")
        else:
            (staging.folder(path) / "new").touch()
"""

_WRITE_REPEATEDLY = """
import pathlib, sys
from retrain.system.outputs.staging import Staging
generation, *paths = sys.argv[1:]
for turn in range(8):
    with Staging() as staging:
        for path in map(pathlib.Path, paths):
            staging.file(path).write_text(f"{generation}{turn}")
"""


class UnfinishedTestCase(parameterized.TestCase):
    """Two folders with old outputs."""

    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.first, self.second = self.folder / "a", self.folder / "b"
        self.graph, self.labels = self.first / "graph.pb", self.second / "labels.txt"
        self.model = self.second / "model"
        for folder in (self.first, self.second):
            folder.mkdir()
        self.model.mkdir()
        for file in (self.graph, self.labels, self.model / "old"):
            file.write_text("old")
        self.new_file = self.first / "new.txt"
        self.outputs = (self.graph, self.labels, self.model, self.new_file)

    def kill_a_run(self, **options) -> None:
        done = run_python(_KILLED, *self.outputs, **options)
        self.assertEqual(done.returncode, -signal.SIGKILL, done.stderr)
        self.assert_new()

    def assert_new(self) -> None:
        self.assertEqual(self.graph.read_text(), "new")
        self.assertEqual(self.labels.read_text(), "new")
        self.assertEqual([path.name for path in self.model.iterdir()], ["new"])
        self.assertEqual(self.new_file.read_text(), "new")

    def assert_old(self) -> None:
        self.assertEqual(self.graph.read_text(), "old")
        self.assertEqual(self.labels.read_text(), "old")
        self.assertEqual([path.name for path in self.model.iterdir()], ["old"])
        self.assertFalse(self.new_file.exists())

    def journals(self) -> list[Path]:
        return [journal_file(folder, current_user()) for folder in (self.first, self.second)]


class SettleTest(UnfinishedTestCase):
    @parameterized.parameters(0, 1, 2, 3)
    def test_a_reader_of_one_output_finds_all_old_ones_in_all_folders(self, index):
        self.kill_a_run()
        with self.assertLogs(level="WARNING") as logged:
            settle(self.outputs[index])
        self.assertRegex("".join(logged.output), "killed while it replaced its outputs in /.*/b")
        self.assert_old()
        with self.assertNoLogs():
            settle(self.outputs[index])

    def test_a_writer_of_any_output_in_one_of_the_folders_restores_them_first(self):
        self.kill_a_run()
        with self.assertLogs(level="WARNING"), self.assertRaises(ZeroDivisionError), Staging() as s:
            s.file(self.second / "other.txt")
            raise ZeroDivisionError
        self.assert_old()
        self.assertCountEqual(self.second.iterdir(), [self.labels, self.model])

    def test_a_reader_through_a_link_restores_them(self):
        self.kill_a_run()
        link = self.folder / "current.pb"
        link.symlink_to(self.graph)
        with self.assertLogs(level="WARNING"):
            settle(link)
        self.assert_old()

    def test_another_file_in_the_folder_is_read_without_restoring_anything(self):
        self.kill_a_run()
        settle(self.first / "other.txt")
        self.assert_new()

    def test_a_folder_that_was_moved_is_restored_under_its_new_name(self):
        self.outputs = (self.graph, self.new_file)
        run_python(_KILLED, *self.outputs)
        self.first.rename(self.folder / "moved")
        with self.assertLogs(level="WARNING"):
            settle(self.folder / "moved" / "graph.pb")
        self.assertEqual((self.folder / "moved" / "graph.pb").read_text(), "old")

    @parameterized.parameters("a", "b")
    def test_outputs_are_not_restored_while_some_of_them_are_not_mounted(self, absent):
        self.kill_a_run()
        (self.folder / absent).rename(self.folder / "unmounted")
        present = self.labels if absent == "a" else self.graph
        with self.assertRaisesRegex(
            UserError, f"/{absent}: No such file or directory; correct this, or delete .*/.retrain-"
        ):
            settle(present)
        self.assertEqual(present.read_text(), "new")
        (self.folder / "unmounted").rename(self.folder / absent)
        with self.assertLogs(level="WARNING"):
            settle(present)
        self.assert_old()

    def test_a_user_can_decide_to_keep_unfinished_outputs(self):
        self.kill_a_run()
        shutil.rmtree(self.second)
        journal_file(self.first, current_user()).unlink()
        settle(self.graph)
        self.assertEqual(self.graph.read_text(), "new")

    def test_outputs_that_cannot_be_restored_are_one_line_until_they_can_be(self):
        self.kill_a_run()
        code = """
import pathlib, sys
from retrain.errors import UserError
from retrain.system.outputs.unfinished import settle
from tests.support import privileges
privileges.drop()
try:
    settle(pathlib.Path(sys.argv[1]))
except UserError as error:
    print(error)
"""
        self.second.chmod(0o555)
        done = run_python(code, self.graph)
        self.second.chmod(0o755)
        self.assertRegex(
            done.stdout,
            "^.*graph.pb was left unfinished by a run that was killed, and .* cannot be restored: "
            ".*/b/.*: Permission denied; .*\n$",
        )
        with self.assertLogs(level="WARNING"):
            settle(self.graph)
        self.assert_old()

    def test_a_workspace_that_somebody_deleted_does_not_block_later_runs(self):
        self.kill_a_run()
        for folder in (self.first, self.second):
            for workspace in folder.glob(".retrain-unfinished-*"):
                shutil.rmtree(workspace)
        with self.assertLogs(level="WARNING"):
            settle(self.graph)
        with Staging() as staging:
            staging.file(self.graph).write_text("newer")
        self.assertEqual(self.graph.read_text(), "newer")

    def test_what_a_run_itself_cannot_undo_is_restored_by_the_next_program(self):
        place = Replacement.place

        def place_all_but_the_labels(replacement: Replacement) -> None:
            if replacement.path == self.labels:
                raise OSError(errno.EBUSY, "Device or resource busy")
            place(replacement)

        with (
            mock.patch.object(Replacement, "place", place_all_but_the_labels),
            mock.patch.object(Replacement, "undo", side_effect=OSError(errno.EIO, "I/O error")),
            self.assertRaisesRegex(UserError, "cannot be written: I/O error"),
            Staging() as staging,
        ):
            staging.file(self.graph).write_text("new")
            staging.file(self.labels).write_text("new")
        self.assertEqual(self.graph.read_text(), "new")
        with self.assertLogs(level="WARNING"):
            settle(self.labels)
        self.assert_old()

    def test_a_workspace_that_is_needed_to_restore_outputs_stays(self):
        self.kill_a_run()
        # The run could also have been killed just after this call.
        with mock.patch.object(leftovers, "settle_folder"):
            remove_leftovers(self.first)
        with self.assertLogs(level="WARNING"):
            remove_leftovers(self.first)
        self.assert_old()
        self.assertEmpty(list(self.first.glob(".retrain-*")))

    def test_a_live_run_is_waited_for_but_not_forever(self):
        self.enter_context(mock.patch.object(unfinished, "_READER_PATIENCE", 0.2))
        inside, leave = threading.Event(), threading.Event()
        empty = commit.empty_journals

        def wait_and_empty(descriptors) -> None:
            inside.set()
            leave.wait(60)
            empty(descriptors)

        def write() -> None:
            with Staging() as staging:
                staging.file(self.graph).write_text("new")
                staging.file(self.labels).write_text("new")

        with mock.patch.object(commit, "empty_journals", wait_and_empty):
            thread = threading.Thread(target=write)
            thread.start()
            inside.wait(60)
            with self.assertRaisesRegex(UserError, "graph.pb is being replaced by another run"):
                settle(self.graph)
            threading.Timer(0.1, leave.set).start()
            self.enter_context(mock.patch.object(unfinished, "_READER_PATIENCE", 60))
            settle(self.graph)
            thread.join()
        self.assertEqual((self.graph.read_text(), self.labels.read_text()), ("new", "new"))


class UntrustedJournalTest(UnfinishedTestCase):
    """Journals that no run of this user wrote for this folder have no effect."""

    def setUp(self):
        super().setUp()
        self.secret = self.folder / "id_rsa"
        self.secret.write_text("secret")

    def assert_untouched(self) -> None:
        settle(self.graph)
        with Staging() as staging:
            staging.file(self.new_file).write_text("newer")
        self.assertEqual(self.new_file.read_text(), "newer")
        self.assertEqual(self.secret.read_text(), "secret")

    def test_one_that_was_copied_with_its_folder_has_no_effect(self):
        self.kill_a_run()
        shutil.move(self.first, self.folder / "elsewhere")
        shutil.copytree(self.folder / "elsewhere", self.first)
        settle(self.graph)
        self.assertEqual(self.graph.read_text(), "new")

    def test_one_does_not_reach_into_a_folder_without_the_same_journal(self):
        self.kill_a_run()
        self.journals()[1].write_bytes(b"")
        if self.folder_that_decides() == self.second:
            settle(self.graph)
        else:
            with self.assertLogs(level="WARNING"):
                settle(self.graph)
        self.assertEqual(self.labels.read_text(), "new")

    def folder_that_decides(self) -> Path:
        first, second = (json.loads(j.read_bytes() or b"0") for j in self.journals())
        return Path((first or second)["folders"][0][0])

    @parameterized.parameters(
        ("name", "../id_rsa"), ("name", ".."), ("name", ""), ("name", "a\0b"), ("name", 7),
        ("workspace", ".."), ("workspace", "b"), ("workspace", ".retrain-unfinished-x/../.."),
        ("slot", "../1"), ("slot", ".."), ("inode", "1"), ("inode", -1), ("inode", True),
    )  # fmt: skip
    def test_one_with_other_names_has_no_effect(self, key, value):
        self.kill_a_run()
        column = ["folder", "name", "workspace", "slot", "is_folder", "inode"].index(key)
        for journal in self.journals():
            fields = json.loads(journal.read_bytes())
            for row in fields["replacements"]:
                row[column] = value
            journal.write_text(json.dumps(fields))
        before = self.graph.read_text()
        settle(self.graph)
        self.assertEqual(self.graph.read_text(), before)
        self.assert_untouched()

    @parameterized.parameters(
        b"x", b"[]", b"{}", b"1", b"null", b"[" * 100_000, b'{"folders": 1}', b"\xff" * 10_000_000,
        b'{"folders": [], "replacements": []}', b'{"folders": [[1, 2]], "replacements": [[]]}',
        b'{"folders": [["/", 1]], "replacements": [[5, "a", "b", "1", true, 1]]}',
    )  # fmt: skip
    def test_one_with_any_content_has_no_effect(self, content):
        self.journals()[0].write_bytes(content)
        self.assert_untouched()
        self.assertFalse(self.journals()[0].exists())

    @parameterized.parameters("symlink", "hard link", "pipe", "folder")
    def test_what_is_not_a_file_of_this_program_is_one_line_and_stays(self, kind):
        journal = self.journals()[0]
        if kind == "symlink":
            journal.symlink_to(self.secret)
        elif kind == "hard link":
            os.link(self.secret, journal)
        elif kind == "pipe":
            os.mkfifo(journal)
        else:
            journal.mkdir()
        settle(self.graph)
        with (
            self.assertRaisesRegex(UserError, f"{journal}, which .* cannot be opened: .*; remove"),
            Staging() as staging,
        ):
            staging.file(self.graph).write_text("new")
        self.assertEqual(self.graph.read_text(), "old")
        self.assertEqual(self.secret.read_text(), "secret")

    def test_a_workspace_that_is_a_link_has_no_effect(self):
        self.kill_a_run()
        for workspace in self.first.glob(".retrain-unfinished-*"):
            workspace.rename(self.folder / "workspace")
            workspace.symlink_to(self.folder / "workspace")
        with self.assertLogs(level="WARNING"):
            settle(self.graph)
        self.assertEqual(self.graph.read_text(), "new")
        self.assertTrue((self.folder / "workspace").is_dir())

    def share_folders(self) -> None:
        """Lets other users replace the outputs, or skips the test if there are no other users."""
        shared = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, shared)
        shared.chmod(0o777)
        other_users.make_file(self, shared / "probe")
        for folder in (self.first, self.second):
            shutil.move(folder, shared)
            (shared / folder.name).chmod(0o777)
        self.first, self.second = shared / "a", shared / "b"
        self.graph, self.labels = self.first / "graph.pb", self.second / "labels.txt"

    def kill_a_run_of_another_user(self) -> None:
        with Staging() as staging:  # Imports everything that the other user may not be able to.
            staging.file(self.graph).write_text("old")
        child = os.fork()
        if not child:
            try:
                os.setgroups([])
                os.setgid(other_users.USER)
                os.setuid(other_users.USER)
                kill = mock.patch.object(
                    commit,
                    "empty_journals",
                    side_effect=lambda _: os.kill(os.getpid(), signal.SIGKILL),
                )
                kill.start()
                with Staging() as staging:
                    staging.file(self.graph).write_text("new")
                    staging.file(self.labels).write_text("new")
            finally:
                os._exit(1)
        self.assertEqual(os.waitpid(child, 0)[1], signal.SIGKILL)
        self.assertEqual(self.graph.stat().st_uid, other_users.USER)

    def test_that_of_another_user_is_one_line_for_readers_of_that_users_outputs(self):
        self.share_folders()
        self.kill_a_run_of_another_user()
        with self.assertRaisesRegex(
            UserError,
            f"^{self.graph} and 1 other outputs belong to different runs, because a run of the "
            f"user with number {other_users.USER} was killed [^\n]*$",
        ):
            settle(self.graph)
        settle(self.first / "other.pb")
        # This user can replace them, and does not remove what the other user needs.
        with Staging() as staging:
            staging.file(self.graph).write_text("mine")
        settle(self.graph)
        self.assertNotEmpty(list(self.first.glob(".retrain-unfinished-*")))

    def test_a_journal_that_another_user_has_put_there_is_one_line(self):
        self.share_folders()
        other_users.make_file(self, journal_file(self.first, current_user()))
        settle(self.graph)
        with self.assertRaisesRegex(UserError, "cannot be opened: .*; remove"), Staging() as s:
            s.file(self.graph).write_text("new")
        self.assertEqual(self.graph.read_text(), "old")


class ConcurrentRunsTest(UnfinishedTestCase):
    def test_runs_with_the_same_outputs_in_any_order_end_and_leave_those_of_one_run(self):
        third = self.folder / "c"
        third.mkdir()
        paths = [self.graph, self.labels, third / "metrics.json"]
        code = [sys.executable, "-c", _WRITE_REPEATEDLY]
        runs = [
            subprocess.Popen([*code, f"run{number} ", *map(str, order)], stderr=subprocess.PIPE)
            for number, order in enumerate(
                (paths, paths[::-1], paths[1:] + paths[:1], [paths[2], paths[0], paths[1]])
            )
        ]
        seen = []
        for run in runs:
            _, error = run.communicate(timeout=120)
            self.assertEqual(run.returncode, 0, error)
            seen.append(error)
        self.assertLen({path.read_text() for path in paths}, 1)
        hidden = list(self.folder.rglob(".retrain-*"))
        self.assertEmpty(hidden)

    def test_runs_whose_outputs_overlap_end(self):
        code = [sys.executable, "-c", _WRITE_REPEATEDLY]
        overlapping = [self.graph, self.labels], [self.labels, self.folder / "c.txt"]
        overlapping += ([self.folder / "c.txt", self.graph],)
        runs = [subprocess.Popen([*code, "x", *map(str, paths)]) for paths in overlapping]
        self.assertEqual([run.wait(timeout=120) for run in runs], [0, 0, 0])

    def test_a_folder_with_two_names_is_locked_once(self):
        (self.folder / "link").symlink_to(self.first)
        with Staging() as staging:
            staging.file(self.graph).write_text("new")
            staging.file(self.folder / "link" / "new.txt").write_text("new")
        self.assertEqual((self.graph.read_text(), self.new_file.read_text()), ("new", "new"))


if __name__ == "__main__":
    absltest.main()

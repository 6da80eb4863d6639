"""Images are moved to the quarantine and back; a kill at any moment loses none."""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from absl.testing import absltest, parameterized

from retrain.data.dataset import Dataset, ImageFile
from retrain.data.splits import TRAINING, SplitPercentages
from retrain.data_check.findings import Finding
from retrain.errors import UserError
from retrain.system.program.interruption import Interruption
from tools.check import quarantine
from tools.check.data_check import CheckResult
from tools.transfers.journal import NAME
from tools.transfers.journaled_batches import JournaledBatches
from tools.transfers.plan import Plan
from tools.transfers.undo import undo

_OTHER_FILE_SYSTEM = Path("/dev/shm")
_FILE_OPERATIONS = {"open", "os.link", "os.mkdir", "os.remove", "os.rename"}


def _contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != NAME
    }


class QuarantineTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.root = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.root)
        state = {"XDG_STATE_HOME": str(self.root / "state")}
        self.enter_context(absltest.mock.patch.dict(os.environ, state))
        self.folder = self.root / "images"
        self.quarantine = self.root / "quarantine"
        self.result = self.new_result(self.folder)

    def new_result(self, folder: Path) -> CheckResult:
        images = []
        for number in range(9):
            path = folder / "cat" / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"image %d" % number)
            images.append(ImageFile(path, 0, TRAINING, 1.0))
        dataset = Dataset(folder, ("cat",), ("cat",), tuple(images), SplitPercentages(10, 10))
        findings = (
            Finding("unreadable", (0,)),
            Finding("duplicate_across_classes", (1, 2)),
            Finding("duplicate", (3, 4, 5)),
            Finding("duplicate", (0, 8)),
            Finding("blank", (6,)),
        )
        return CheckResult(dataset, findings, 9, 0)

    def test_redundant_images_leave_one(self):
        kinds = ("unreadable", "duplicate_across_classes", "duplicate")
        moved = quarantine.images_to_move(self.result, kinds)
        # Image 8 stays, because its copy is moved for another reason.
        self.assertEqual(list(moved), [0, 1, 2, 4, 5])
        self.assertEqual(moved[5], "duplicate")

    def test_images_of_other_kinds_are_not_touched(self):
        self.assertIsNone(quarantine.move_images(self.result, ("dark",), self.quarantine))
        self.assertFalse(self.quarantine.exists())

    @parameterized.parameters(False, True)
    def test_undo_restores_everything(self, other_file_system):
        folder = self.quarantine
        if other_file_system:
            if not _OTHER_FILE_SYSTEM.is_dir():
                self.skipTest("there is no other file system here")
            folder = Path(tempfile.mkdtemp(dir=_OTHER_FILE_SYSTEM))
            self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        before = _contents(self.folder)
        done = quarantine.move_images(self.result, ("duplicate", "blank"), folder)
        self.assertEqual((done.moved, done.failed), (4, 0))
        journal = done.undo_file
        self.assertEqual(
            sorted(before.keys() - _contents(self.folder)), [f"cat/{n}.jpg" for n in (4, 5, 6, 8)]
        )
        moved = _contents(journal.parent)
        self.assertEqual(
            sorted(moved), ["blank/cat/6.jpg", *(f"duplicate/cat/{n}.jpg" for n in (4, 5, 8))]
        )
        counts = undo(journal)
        self.assertEqual((counts.restored, counts.failed), (4, 0))
        self.assertEqual(_contents(self.folder), before)

    def test_an_image_that_vanished_does_not_stop_the_others(self):
        (self.folder / "cat" / "6.jpg").unlink()
        done = quarantine.move_images(self.result, ("unreadable", "blank"), self.quarantine)
        self.assertEqual((done.moved, done.failed), (1, 1))
        self.assertEqual(list(_contents(done.undo_file.parent)), ["unreadable/cat/0.jpg"])

    def test_an_interrupted_move_names_the_undo_file(self):
        before = _contents(self.folder)
        transfer = JournaledBatches.transfer

        def interrupt_after_the_first(batches: JournaledBatches, plans: Sequence[Plan]) -> int:
            if batches._journal.num_done:
                raise Interruption
            return transfer(batches, plans)

        self.enter_context(absltest.mock.patch.object(quarantine, "_BATCH_SIZE", 1))
        self.enter_context(
            absltest.mock.patch.object(JournaledBatches, "transfer", interrupt_after_the_first)
        )
        with self.assertRaisesRegex(
            Interruption,
            "^interrupted; at least 1 of 3 images were moved; restore them with",
        ) as caught:
            quarantine.move_images(
                self.result, ["unreadable", "duplicate_across_classes"], self.quarantine
            )
        self.assertLen(_contents(self.folder), len(before) - 1)
        undo(Path(str(caught.exception).partition("--undo=")[2]))
        self.assertEqual(_contents(self.folder), before)

    def test_a_quarantine_in_the_image_folder_is_refused(self):
        with self.assertRaisesRegex(UserError, "is in --image_dir"):
            quarantine.check_quarantine_folder(self.folder / "bad", self.folder)

    def test_a_kill_before_any_file_operation_loses_nothing(self):
        before = None
        for kill_at in range(200):
            folder, target = self.root / f"images{kill_at}", self.root / f"moved{kill_at}"
            result = self.new_result(folder)
            before = _contents(folder)
            child = os.fork()
            if not child:
                self.move_until(kill_at, result, target)
            _, status = os.waitpid(child, 0)
            now = _contents(folder)
            if target.exists():
                for journal in list(target.rglob(NAME)):
                    undo(journal)
                now = _contents(folder)
            self.assertEqual(now, before, kill_at)
            if os.WIFEXITED(status):
                self.assertEqual(os.WEXITSTATUS(status), 0)
                break
        self.assertGreater(kill_at, 10)
        self.assertTrue(os.WIFEXITED(status))

    def move_until(self, kill_at: int, result: CheckResult, target: Path) -> None:
        remaining = kill_at

        def count(event: str, arguments: object) -> None:
            nonlocal remaining
            if event in _FILE_OPERATIONS:
                if remaining == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                remaining -= 1

        try:
            sys.addaudithook(count)
            quarantine.move_images(result, ("duplicate", "blank"), target)
        except BaseException:
            os._exit(1)
        os._exit(0)


if __name__ == "__main__":
    absltest.main()

"""Images are transferred completely or not at all, and never replace other files."""

import os
import shutil
import tempfile
from pathlib import Path
from unittest import mock

from absl.testing import absltest, parameterized

from tools.transfers import new_files, transfer_batch
from tools.transfers.errors import UnwritableError
from tools.transfers.transfer import COPY, HARD_LINK, MOVE, SYMBOLIC_LINK, Transfer

_OPERATIONS = (COPY, MOVE, HARD_LINK, SYMBOLIC_LINK)
_OTHER_FILE_SYSTEM = Path("/dev/shm")


class TransferBatchTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.source = self.folder / "source.jpg"
        self.source.write_bytes(b"image")
        os.utime(self.source, (1, 2))
        self.target = self.folder / "new" / "folder" / "target.jpg"

    def transfer(self, operation: str, target: Path | None = None) -> list[str]:
        transfers = [Transfer(self.source, target or self.target)]
        return list(transfer_batch.transfer_all(transfers, operation).values())

    def other_file_system(self) -> Path:
        if not os.access(_OTHER_FILE_SYSTEM, os.W_OK):
            self.skipTest(f"{_OTHER_FILE_SYSTEM} does not exist")
        folder = Path(tempfile.mkdtemp(dir=_OTHER_FILE_SYSTEM))
        self.addCleanup(shutil.rmtree, folder)
        if folder.stat().st_dev == self.folder.stat().st_dev:
            self.skipTest("there is only one file system")
        return folder

    def assert_no_temporary_files(self) -> None:
        self.assertEmpty([*self.folder.rglob(".guess_dir*")])

    @parameterized.parameters(*_OPERATIONS)
    def test_each_operation_creates_the_target(self, operation: str):
        self.assertEmpty(self.transfer(operation))
        self.assertEqual(self.target.read_bytes(), b"image")
        self.assertEqual(self.target.stat().st_mtime, 2)
        self.assertEqual(self.source.exists(), operation != MOVE)
        self.assertEqual(self.target.is_symlink(), operation == SYMBOLIC_LINK)
        self.assertEqual(self.target.stat().st_nlink, 2 if operation == HARD_LINK else 1)
        self.assert_no_temporary_files()

    def test_new_folders_are_on_the_disk_with_their_own_entries(self):
        with mock.patch.object(new_files, "sync_folder") as sync:
            self.assertEmpty(self.transfer(MOVE))
        synced = {call.args[0] for call in sync.call_args_list}
        self.assertContainsSubset({self.target.parent, self.folder / "new", self.folder}, synced)

    @parameterized.parameters(*_OPERATIONS)
    def test_existing_targets_are_not_replaced(self, operation: str):
        for make in (
            lambda: self.target.write_bytes(b"other"),
            lambda: self.target.symlink_to("x"),
        ):
            self.target.parent.mkdir(parents=True, exist_ok=True)
            make()
            before = self.target.lstat()
            self.assertIn("target.jpg already exists", self.transfer(operation)[0])
            self.assertEqual(self.target.lstat(), before)
            self.assertEqual(self.source.read_bytes(), b"image")
            self.target.unlink()

    @parameterized.parameters(*_OPERATIONS)
    def test_resuming_a_finished_batch_changes_nothing(self, operation: str):
        transfer = Transfer(self.source, self.target)
        self.transfer(operation)
        before = self.target.lstat()
        self.assertEmpty(transfer_batch.resume_all([transfer], operation))
        self.assertEqual(self.target.lstat(), before)

    @parameterized.parameters(*_OPERATIONS)
    def test_a_missing_image_does_not_stop_the_others(self, operation: str):
        missing = Transfer(self.folder / "missing.jpg", self.folder / "a.jpg")
        failed = transfer_batch.transfer_all(
            [missing, Transfer(self.source, self.target)], operation
        )
        self.assertEqual(failed, {missing: "it no longer exists"})
        self.assertEqual(self.target.read_bytes(), b"image")

    def test_transfers_to_another_file_system(self):
        target = self.other_file_system() / "target.jpg"
        self.assertIn("another file system", self.transfer(HARD_LINK, target)[0])
        for operation in (COPY, SYMBOLIC_LINK, MOVE):
            self.assertEmpty(self.transfer(operation, target))
            self.assertEqual(target.read_bytes(), b"image")
            self.assertEqual(list(target.parent.iterdir()), [target])
            self.assertEqual(self.source.exists(), operation != MOVE)
            if operation != MOVE:
                target.unlink()

    def test_copies_and_moves_work_without_hard_links(self):
        with mock.patch.object(os, "link", side_effect=PermissionError(1, "not permitted")):
            self.assertIn("no hard link to it is possible", self.transfer(HARD_LINK)[0])
            self.assertEmpty(self.transfer(COPY))
            self.target.unlink()
            self.assertEmpty(self.transfer(MOVE))
        self.assertEqual(self.target.read_bytes(), b"image")
        self.assertFalse(self.source.exists())
        self.assert_no_temporary_files()

    def test_resuming_replaces_an_empty_file_that_reserved_the_name(self):
        self.target.parent.mkdir(parents=True)
        self.target.touch()
        self.assertEmpty(transfer_batch.resume_all([Transfer(self.source, self.target)], COPY))
        self.assertEqual(self.target.read_bytes(), b"image")

    def test_symbolic_links_are_copied_as_files_and_moved_as_links(self):
        link = self.folder / "link.jpg"
        link.symlink_to("source.jpg")
        copy, moved = (Transfer(link, self.target.with_name(name)) for name in ("copy", "moved"))
        self.assertEmpty(transfer_batch.transfer_all([copy], COPY))
        self.assertFalse(copy.target.is_symlink())
        self.assertEmpty(transfer_batch.transfer_all([moved], MOVE))
        self.assertEqual(moved.target.resolve(), self.source.resolve())
        self.assertFalse(link.is_symlink())
        self.assertEqual(self.source.read_bytes(), b"image")

    @parameterized.parameters(COPY, MOVE)
    def test_a_full_disk_stops_the_batch_and_loses_nothing(self, operation: str):
        import resource

        self.source.write_bytes(bytes(100_000))
        target = self.other_file_system() / "target.jpg" if operation == MOVE else self.target
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
        try:
            with self.assertRaisesRegex(
                UnwritableError, f"{target.parent} cannot be written: File too"
            ):
                self.transfer(operation, target)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        self.assertEqual(self.source.stat().st_size, 100_000)
        self.assertEmpty(list(target.parent.iterdir()))

    def test_a_file_instead_of_a_folder_stops_the_batch(self):
        (self.folder / "new").touch()
        with self.assertRaisesRegex(UnwritableError, "cannot be created: Not a directory"):
            self.transfer(COPY)
        with self.assertRaisesRegex(UnwritableError, "new is a file, but must be a folder"):
            self.transfer(COPY, self.folder / "new" / "target.jpg")

    def test_a_name_that_is_too_long_does_not_stop_the_batch(self):
        failed = self.transfer(COPY, self.folder / ("x" * 300))
        self.assertIn("is not a valid name there: File name too long", failed[0])


if __name__ == "__main__":
    absltest.main()

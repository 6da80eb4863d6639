"""An image is removed only if another file has its complete content."""

import shutil
import tempfile
from pathlib import Path

from absl.testing import absltest

from tools.transfers import transfer
from tools.transfers.errors import TransferError
from tools.transfers.transfer import COPY, MOVE, Transfer


class TransferTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.source, self.target = self.folder / "source.jpg", self.folder / "target.jpg"
        self.source.write_bytes(b"image")

    def test_a_link_to_the_source_does_not_count_as_its_target(self):
        self.target.symlink_to(self.source)
        with self.assertRaisesRegex(TransferError, "target.jpg already exists"):
            transfer.create_target(Transfer(self.source, self.target), MOVE)

    def test_a_source_that_changed_during_the_copy_is_kept(self):
        paths = Transfer(self.source, self.target)
        state = transfer.create_target(paths, COPY)
        self.source.write_bytes(b"new one")
        with self.assertRaisesRegex(TransferError, "it changed during the copy"):
            transfer.remove_source(paths, state)
        self.assertEqual(self.source.read_bytes(), b"new one")
        self.assertEqual(self.target.read_bytes(), b"image")

    def test_only_empty_targets_are_removed_as_partial(self):
        paths = Transfer(self.source, self.target)
        for content, is_kept in ((b"", False), (b"x", True)):
            self.target.write_bytes(content)
            transfer.remove_partial_target(paths)
            self.assertEqual(self.target.exists(), is_kept)

    def test_a_file_can_replace_another_with_the_same_content(self):
        copy, link = self.folder / "copy", self.folder / "link"
        shutil.copyfile(self.source, copy)
        link.symlink_to(self.source)
        self.assertTrue(transfer.can_replace(copy, self.source))
        self.assertTrue(transfer.can_replace(self.source, link))
        self.assertFalse(transfer.can_replace(link, self.source))
        self.assertFalse(transfer.can_replace(self.source, self.source))
        copy.write_bytes(b"images")
        self.assertFalse(transfer.can_replace(copy, self.source))
        self.assertFalse(transfer.can_replace(self.folder / "missing", self.source))


if __name__ == "__main__":
    absltest.main()

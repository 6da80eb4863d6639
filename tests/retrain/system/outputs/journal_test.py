"""Journals are opened and read whatever other processes and users do to them."""

import os
from pathlib import Path
from unittest import mock

from absl.testing import absltest

from retrain.errors import UserError
from retrain.system.files.path_owners import current_user
from retrain.system.outputs import journal_files
from retrain.system.outputs.journal import OutputJournal, parse_journal
from retrain.system.outputs.journal_files import journal_file, open_own_journal, read_journal
from retrain.system.outputs.replacement import Replacement


class OutputJournalTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.path = journal_file(self.folder, current_user())

    def test_a_journal_is_read_as_it_was_written(self):
        workspace = ".retrain-unfinished-x"
        journal = OutputJournal(
            ((self.folder, self.folder.stat().st_ino),),
            (Replacement(self.folder, "a", workspace, "1", is_folder=True, inode=5),),
        )
        self.path.write_bytes(journal.to_bytes())
        descriptor = open_own_journal(self.folder, os.O_RDONLY)
        self.addCleanup(os.close, descriptor)
        self.assertEqual(read_journal(descriptor, self.folder), journal)

    def test_the_format_of_earlier_versions_is_read_and_written(self):
        inode = self.folder.stat().st_ino
        data = (
            f'{{"folders": [["{self.folder}", {inode}], ["/elsewhere", 7]], "replacements": '
            '[[0, "a", ".retrain-unfinished-x", "1", true, 5], '
            '[1, "b.txt", ".retrain-unfinished-y", "2", false, 6]]}'
        )
        journal = parse_journal(data.encode(), self.folder)
        assert journal is not None
        self.assertEqual(
            journal.replacements,
            (
                Replacement(self.folder, "a", ".retrain-unfinished-x", "1", True, inode=5),
                Replacement(Path("/elsewhere"), "b.txt", ".retrain-unfinished-y", "2", False, 6),
            ),
        )
        self.assertEqual(journal.to_bytes().decode(), data)

    def test_a_journal_that_another_process_is_just_creating_does_not_exist_yet(self):
        def is_too_early(*_: object) -> int:
            self.path.touch()
            raise FileNotFoundError

        with (
            mock.patch.object(journal_files, "open_journal", is_too_early),
            self.assertRaises(FileNotFoundError),
        ):
            open_own_journal(self.folder, os.O_RDWR)

    def test_anything_else_in_its_place_is_refused(self):
        self.path.mkdir()
        with self.assertRaisesRegex(UserError, f"^{self.path}, which .* cannot be opened: Is a d"):
            open_own_journal(self.folder, os.O_RDWR)


if __name__ == "__main__":
    absltest.main()

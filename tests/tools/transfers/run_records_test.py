"""Records of runs are in the user's own folder, and there are not too many of them."""

import os
import shutil
import stat
import tempfile
from pathlib import Path

from absl.testing import absltest, parameterized

from retrain.errors import UserError
from tests.support import other_users
from tools.transfers import run_records
from tools.transfers.run_records import RunRecord


class RunRecordsTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(os.path.realpath(tempfile.mkdtemp()))
        self.addCleanup(shutil.rmtree, self.folder)
        state = {"XDG_STATE_HOME": str(self.folder / "state")}
        self.enter_context(absltest.mock.patch.dict(os.environ, state))
        (self.folder / "real").mkdir()
        (self.folder / "link").symlink_to("real")
        self.record = RunRecord.of_folders(Path("/s"), self.folder / "link" / "t", ["x", "."])
        self.key = run_records.new_key()

    @property
    def path(self) -> Path:
        return self.folder / "state" / "retrain" / "guess_dir" / f"{self.key}.json"

    def test_a_record_is_read_as_it_was_written(self):
        self.assertIsNone(run_records.read(self.key))
        run_records.write(self.key, self.record)
        self.assertEqual(run_records.read(self.key), self.record)
        self.assertEqual(self.record.real_target, str(self.folder / "real" / "t"))
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(self.path.parent.stat().st_mode), 0o700)
        run_records.remove(self.key)
        self.assertIsNone(run_records.read(self.key))

    @parameterized.parameters("", "null", "[]", "{}", '{"source": 1}', "[" * 100_000)
    def test_a_damaged_record_is_none(self, content: str):
        run_records.write(self.key, self.record)
        self.path.write_text(content)
        self.assertIsNone(run_records.read(self.key))

    def test_a_link_is_no_record(self):
        run_records.write(self.key, self.record)
        self.path.rename(self.folder / "elsewhere")
        self.path.symlink_to(self.folder / "elsewhere")
        self.assertIsNone(run_records.read(self.key))

    @parameterized.parameters("../../../evil", "", "a" * 31, "A" * 32, None)
    def test_a_key_is_not_a_path(self, key: str | None):
        (self.folder / "state").mkdir()
        (self.folder / "evil.json").write_text("{}")
        self.assertIsNone(run_records.read(key))
        run_records.remove(key)
        self.assertTrue((self.folder / "evil.json").exists())

    def test_the_oldest_records_are_removed(self):
        with absltest.mock.patch.object(run_records, "_MAX_RECORDS", 3):
            keys = [run_records.new_key() for _ in range(5)]
            for number, self.key in enumerate(keys):
                run_records.write(self.key, self.record)
                os.utime(self.path, (number, number))
        kept = [key for key in keys if run_records.read(key)]
        self.assertEqual(kept, keys[2:])

    def test_a_folder_of_another_user_is_refused(self):
        self.folder.chmod(0o1777)
        other_users.make_folder(self, self.folder / "state")
        for function in (run_records.read, lambda key: run_records.write(key, self.record)):
            with self.assertRaisesRegex(UserError, "set XDG_STATE_HOME to a folder of your own"):
                function(self.key)


if __name__ == "__main__":
    absltest.main()

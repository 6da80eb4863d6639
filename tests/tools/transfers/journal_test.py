"""A journal records how far a run came, even if its last write was incomplete."""

import json
import shutil
import tempfile
from pathlib import Path

from absl.testing import absltest

from retrain.errors import UserError
from tools.transfers.journal import NAME, Journal, is_journal
from tools.transfers.plan import Plan

_NAMES = ["a.jpg", "b\n.jpg", "\udcff.jpg", "d.jpg", "e.jpg"]
_SETTINGS = {"source": "/s", "target": "/t", "how": "copy", "dry_run": False}
_PLANS = [
    Plan("a.jpg", "x.jpg", "x", 0.5, None, [0.5, 0.25]),
    Plan("b\n.jpg", error="it is damaged", scores=[]),
    Plan("\udcff.jpg", "\udcff.jpg", "y", 1.0, None, [0.0, 1.0]),
]
# Written before fields and methods were renamed.
_OLD_JOURNAL = """\
{"guess_dir_journal": 1, "run": {"source": "/s", "target": "/t", "recursive": false, \
"by_folder": true, "how": "move", "unsure_below": 0.0, "dry_run": false, "results": false, \
"graph": "e3b0"}, "labels": ["x", "y"]}
"a.jpg"
"b.jpg"
"c.jpg"
{"pictures": 3}
{"plan": [["a.jpg", "x/a.jpg", "x", 0.8, null, []]]}
{"done": {}}
{"plan": [["b.jpg", "y/b.jpg", "y", 0.9, null, []]]}
"""


class JournalTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        self.path = folder / "journal"

    def write(self) -> None:
        with Journal(self.path) as journal:
            journal.start(_SETTINGS, ["x", "y"], iter(_NAMES))
            journal.write_plans(_PLANS[:2])
            journal.write_done({0: "it no longer exists"})
            journal.write_plans(_PLANS[2:])

    def test_the_state_is_read_as_it_was_written(self):
        self.write()
        with Journal(self.path) as journal:
            self.assertEqual((journal.settings, journal.labels), (_SETTINGS, ("x", "y")))
            self.assertEqual((journal.total, journal.num_done), (5, 2))
            self.assertEqual(list(journal.remaining_images()), _NAMES[2:])
            self.assertEqual(journal.pending, _PLANS[2:])
            journal.write_done({})
            self.assertEqual(list(journal.remaining_images()), _NAMES[3:])
            first, *others = journal.outcomes()
        self.assertEqual((first.target, first.error), (None, "it no longer exists"))
        self.assertEqual(others, _PLANS[1:])

    def test_an_incomplete_last_line_is_ignored_and_removed(self):
        self.write()
        data = self.path.read_bytes()
        states = set()
        for length in range(len(data) + 1):
            self.path.write_bytes(data[:length])
            with Journal(self.path) as journal:
                state = (journal.settings is not None, journal.num_done, len(journal.pending))
            states.add(state)
            lines = data[:length].count(b"\n")
            expected = {7: (True, 0, 0), 8: (True, 0, 2), 9: (True, 2, 0), 10: (True, 2, 1)}
            self.assertEqual(state, expected.get(lines, (False, 0, 0)), f"{length} bytes")
            complete, end, _ = data[:length].rpartition(b"\n")
            self.assertEqual(self.path.read_bytes(), complete + end)
        self.assertLen(states, 5)

    def test_writing_continues_after_an_incomplete_line(self):
        self.write()
        with self.path.open("ab") as file:
            file.write(b'{"done": {')
        with Journal(self.path) as journal:
            journal.write_done({})
            journal.write_plans([Plan("d.jpg", "d.jpg")])
            journal.write_done({})
            self.assertLen(list(journal.outcomes()), 4)

    def test_starting_a_new_run_resets_the_state(self):
        self.write()
        with Journal(self.path) as journal:
            journal.start(_SETTINGS, [], ["one.jpg"])
            self.assertEqual((journal.total, journal.num_done, journal.pending), (1, 0, []))
            self.assertEqual(list(journal.remaining_images()), ["one.jpg"])

    def test_a_journal_is_locked_while_it_is_open(self):
        with (
            Journal(self.path),
            self.assertRaisesRegex(UserError, "another guess_dir is sorting images into"),
        ):
            Journal(self.path)
        with Journal(self.path):
            pass

    def test_other_files_are_refused_and_kept(self):
        for content in (
            b"text\n",
            b"{}\n",
            b"[1]\n",
            json.dumps({"guess_dir_journal": 9}).encode() + b"\n",
            b"text without an end of line",
        ):
            self.path.write_bytes(content)
            # The message contains nothing from Python's exceptions.
            with self.assertRaisesRegex(UserError, r"is not a journal[^()']*; move it elsewhere$"):
                Journal(self.path)
            self.assertEqual(self.path.read_bytes(), content)

    def test_journals_are_recognized_by_their_first_bytes(self):
        self.write()
        data = self.path.read_bytes()
        named = self.path.with_name(NAME)
        for length in range(40):
            self.path.write_bytes(data[:length])
            named.write_bytes(data[:length])
            self.assertEqual(is_journal(self.path), length >= len('{"guess_dir_journal"'))
            self.assertTrue(is_journal(named))
        named.write_text("text")
        self.assertFalse(is_journal(named))

    def test_a_journal_of_an_earlier_version_is_read(self):
        self.path.write_text(_OLD_JOURNAL)
        with Journal(self.path) as journal:
            self.assertEqual(journal.settings["how"], "move")
            self.assertEqual((journal.total, journal.num_done), (3, 1))
            self.assertEqual(list(journal.remaining_images()), ["b.jpg", "c.jpg"])
            self.assertEqual(journal.pending, [Plan("b.jpg", "y/b.jpg", "y", 0.9, None, [])])
            self.assertEqual([p.target for p in journal.outcomes()], ["x/a.jpg"])


if __name__ == "__main__":
    absltest.main()

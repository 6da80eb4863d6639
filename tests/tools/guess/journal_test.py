"""A journal says how far a run came, wherever it was cut."""

import json
import shutil
import tempfile
from pathlib import Path

from absl.testing import absltest

from retrain.errors import UserError
from tools.guess.journal import NAME, Journal, Plan, is_one

_NAMES = ["a.jpg", "b\n.jpg", "\udcff.jpg", "d.jpg", "e.jpg"]
_PLANS = [
    Plan("a.jpg", "x.jpg", "x", 0.5, None, [0.5, 0.25]),
    Plan("b\n.jpg", error="it is damaged", scores=[]),
    Plan("\udcff.jpg", "\udcff.jpg", "y", 1.0, None, [0.0, 1.0]),
]


class JournalTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        self.path = folder / "journal"

    def write(self) -> None:
        with Journal(self.path) as journal:
            journal.begin({"how": "copy"}, ["x", "y"], iter(_NAMES))
            journal.plan(_PLANS[:2])
            journal.done({0: "it has vanished"})
            journal.plan(_PLANS[2:])

    def test_it_is_read_as_it_was_written(self):
        self.write()
        with Journal(self.path) as journal:
            self.assertEqual((journal.run, journal.labels), ({"how": "copy"}, ("x", "y")))
            self.assertEqual((journal.total, journal.position), (5, 2))
            self.assertEqual(list(journal.names()), _NAMES[2:])
            self.assertEqual(journal.pending, _PLANS[2:])
            journal.done({})
            self.assertEqual(list(journal.names()), _NAMES[3:])
            first, *others = journal.outcomes()
        self.assertEqual((first.target, first.error), (None, "it has vanished"))
        self.assertEqual(others, _PLANS[1:])

    def test_wherever_it_is_cut_it_is_what_it_was_a_line_before(self):
        self.write()
        data = self.path.read_bytes()
        states = set()
        for length in range(len(data) + 1):
            self.path.write_bytes(data[:length])
            with Journal(self.path) as journal:
                state = (journal.run is not None, journal.position, len(journal.pending))
            states.add(state)
            lines = data[:length].count(b"\n")
            expected = {7: (True, 0, 0), 8: (True, 0, 2), 9: (True, 2, 0), 10: (True, 2, 1)}
            self.assertEqual(state, expected.get(lines, (False, 0, 0)), f"{length} bytes")
            whole = data[:length].rpartition(b"\n")
            self.assertEqual(self.path.read_bytes(), whole[0] + whole[1])
        self.assertLen(states, 5)

    def test_it_goes_on_after_a_cut(self):
        self.write()
        with self.path.open("ab") as file:
            file.write(b'{"done": {')
        with Journal(self.path) as journal:
            journal.done({})
            journal.plan([Plan("d.jpg", "d")])
            journal.done({})
            self.assertLen(list(journal.outcomes()), 4)

    def test_beginning_anew_forgets_all(self):
        self.write()
        with Journal(self.path) as journal:
            journal.begin({}, [], ["one"])
            self.assertEqual((journal.total, journal.position, journal.pending), (1, 0, []))
            self.assertEqual(list(journal.names()), ["one"])

    def test_only_one_program_may_write(self):
        with (
            Journal(self.path),
            self.assertRaisesRegex(UserError, "another guess_dir files images into"),
        ):
            Journal(self.path)
        with Journal(self.path):
            pass

    def test_what_is_no_journal_is_left_alone(self):
        for content in (
            b"text\n",
            b"{}\n",
            b"[1]\n",
            json.dumps({"guess_dir_journal": 9}).encode() + b"\n",
            b"text without an end of line",
        ):
            self.path.write_bytes(content)
            # Nothing of what Python says about it.
            with self.assertRaisesRegex(UserError, r"is no journal[^()']*; move it elsewhere$"):
                Journal(self.path)
            self.assertEqual(self.path.read_bytes(), content)

    def test_one_is_told_by_how_it_begins(self):
        self.write()
        whole = self.path.read_bytes()
        named = self.path.with_name(NAME)
        for length in range(40):
            self.path.write_bytes(whole[:length])
            named.write_bytes(whole[:length])
            self.assertEqual(is_one(self.path), length >= len('{"guess_dir_journal"'))
            self.assertTrue(is_one(named))
        named.write_text("text")
        self.assertFalse(is_one(named))


if __name__ == "__main__":
    absltest.main()

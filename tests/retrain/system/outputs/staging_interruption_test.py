"""Whenever a process that replaces files and folders is interrupted, nothing is lost.

A child process is interrupted at a line that it executes in the modules under test, one line after
the other, and the parent process looks at what is left. A signal that ends the process at once is
sent once for each state of the files, because all that it leaves is the files.
"""

import contextlib
import itertools
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from absl.testing import absltest, parameterized

from retrain.system.outputs import (
    commit,
    exchange,
    journal,
    journal_files,
    leftovers,
    replacement,
    staging,
    unfinished,
    workspace,
)
from retrain.system.outputs.staging import Staging
from retrain.system.program import interruption

_MODULES = {
    module.__file__
    for module in (
        *(commit, exchange, interruption, journal, journal_files),
        *(leftovers, replacement, staging, unfinished, workspace),
    )
}
# In two folders, each of which has a journal.
_FILE, _FOLDER, _NEW_FILE, _NEW_FOLDER = "a/labels.txt", "a/model", "b/new.txt", "b/new_model"
_OLD = {_FILE: "old", _FOLDER: ["old"], _NEW_FILE: None, _NEW_FOLDER: None}
_NEW = {_FILE: "new", _FOLDER: ["new"], _NEW_FILE: "new", _NEW_FOLDER: ["new"]}


def _prepare(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    (folder / _FOLDER).mkdir(parents=True)
    (folder / "b").mkdir()
    (folder / _FOLDER / "old").touch()
    (folder / _FILE).write_text("old")


def _write_all(folder: Path) -> None:
    with Staging() as results:
        results.file(folder / _FILE).write_text("new")
        (results.folder(folder / _FOLDER) / "new").touch()
        results.file(folder / _NEW_FILE).write_text("new")
        (results.folder(folder / _NEW_FOLDER) / "new").touch()


def _content(path: Path) -> str | list[str] | None:
    if path.is_dir():
        return sorted(entry.name for entry in path.iterdir())
    return path.read_text() if path.exists() else None


def _contents(folder: Path) -> dict[str, str | list[str] | None]:
    return {name: _content(folder / name) for name in _OLD}


def _trace(work: Callable[[], None], at_line: Callable[[], None]) -> None:
    """Does the work, and calls a function before each line of the modules under test."""

    def trace(frame, event, _):
        if frame.f_code.co_filename not in _MODULES:
            return None
        if event == "line":
            at_line()
        return trace

    previous = sys.gettrace()
    sys.settrace(trace)
    work()
    sys.settrace(previous)


def _state(folder: Path) -> list[object]:
    """Returns all that can be seen from outside: files, and the handlers of signals."""
    files = [
        (path, path.lstat().st_ino, path.lstat().st_mode, path.is_file() and path.read_bytes())
        for path in sorted(folder.rglob("*"))
    ]
    return [*files, *map(signal.getsignal, (signal.SIGINT, signal.SIGTERM))]


def _run_child(work: Callable[[], None], at: int, number: signal.Signals) -> int:
    """Does the work in a child process that gets a signal at a line. Returns its wait status.

    The first line has the number 0. With a number that is too large, the process gets no signal.
    """
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    status = 1
    try:
        for deferred in (signal.SIGINT, signal.SIGTERM):
            handler = signal.default_int_handler if deferred == signal.SIGINT else signal.SIG_DFL
            signal.signal(deferred, handler)
        lines = itertools.count()

        def interrupt_if_reached() -> None:
            if next(lines) == at:
                os.kill(os.getpid(), number)

        with contextlib.suppress(KeyboardInterrupt):
            _trace(work, interrupt_if_reached)
            status = 0
    finally:
        os._exit(status)


class InterruptionTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        # In memory if possible, since there are thousands of files to make.
        shared_memory = Path("/dev/shm")
        parent = shared_memory if os.access(shared_memory, os.W_OK) else None
        self.folder = Path(tempfile.mkdtemp(dir=parent))
        self.addCleanup(shutil.rmtree, self.folder)
        self.enter_context(mock.patch("os.fsync"))

    def use_exchange(self, with_exchange: bool) -> None:
        if not with_exchange:
            error = exchange.ExchangeUnsupportedError
            self.enter_context(mock.patch.object(replacement, "exchange", side_effect=error))

    def lines_to_interrupt(self, work: Callable[[], None], number: signal.Signals) -> list[int]:
        """Does the work, and returns the numbers of the lines at which a signal is sent."""
        states = []
        # This also imports everything, so that the child processes do not have to.
        _trace(work, lambda: states.append(_state(self.folder)))
        self.assertGreater(len(states), 50)
        if number == signal.SIGINT:
            return list(range(len(states)))
        pairs = itertools.pairwise([None, *states])
        return [line for line, (before, state) in enumerate(pairs) if state != before]

    def interrupt_everywhere(self, number: signal.Signals, check: Callable[[int], None]) -> None:
        """Interrupts the replacement of all paths at one line after the other.

        Args:
            number: Signal to send.
            check: Is called with the wait status.
        """
        _prepare(self.folder)
        for line in self.lines_to_interrupt(lambda: _write_all(self.folder), number):
            _prepare(self.folder)
            status = _run_child(lambda: _write_all(self.folder), line, number)
            with self.subTest(f"interrupted at line {line}"):
                check(status)

    @parameterized.product(with_exchange=(True, False), path=tuple(_OLD))
    def test_after_a_kill_a_reader_of_one_path_finds_all_old_or_all_new(self, with_exchange, path):
        self.use_exchange(with_exchange)
        found = set()

        def check(_: int) -> None:
            with mock.patch("logging.warning"):
                unfinished.settle(self.folder / path)
            contents = _contents(self.folder)
            # Either none of the files is in place, or the journal names all of them.
            self.assertIn(contents, (_OLD, _NEW))
            found.add(str(contents))
            _write_all(self.folder)
            self.assertEqual(_contents(self.folder), _NEW)
            self.assertCountEqual(
                (str(path.relative_to(self.folder)) for path in self.folder.glob("*/*")), _NEW
            )

        self.interrupt_everywhere(signal.SIGKILL, check)
        self.assertLen(found, 2)

    def test_after_a_second_kill_while_the_first_is_undone_all_are_old_or_all_are_new(self):
        # The first kill is after the last rename, so that the most has to be undone.
        def replace_and_die() -> None:
            with mock.patch.object(
                commit,
                "empty_journals",
                side_effect=lambda _: os.kill(os.getpid(), signal.SIGKILL),
            ):
                _write_all(self.folder)

        def prepare() -> None:
            _prepare(self.folder)
            _run_child(replace_and_die, sys.maxsize, signal.SIGKILL)
            self.assertEqual(_contents(self.folder), _NEW)

        self.enter_context(mock.patch("logging.warning"))
        prepare()
        lines = self.lines_to_interrupt(
            lambda: unfinished.settle(self.folder / _FILE), signal.SIGKILL
        )
        self.assertEqual(_contents(self.folder), _OLD)
        for line in lines:
            prepare()
            _run_child(lambda: unfinished.settle(self.folder / _FILE), line, signal.SIGKILL)
            with self.subTest(f"killed at line {line}"):
                unfinished.settle(self.folder / _FOLDER)
                self.assertEqual(_contents(self.folder), _OLD)

    @parameterized.product(with_exchange=(True, False), number=(signal.SIGINT, signal.SIGTERM))
    def test_after_ctrl_c_or_sigterm_all_paths_are_old_or_all_are_new(self, with_exchange, number):
        self.use_exchange(with_exchange)

        def check(status: int) -> None:
            self.assertIn(_contents(self.folder), (_OLD, _NEW))
            if status == 0:
                self.assertEqual(_contents(self.folder), _NEW)

        self.interrupt_everywhere(number, check)


if __name__ == "__main__":
    absltest.main()

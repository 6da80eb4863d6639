"""Whenever a process that replaces files and folders is interrupted, nothing is lost.

A child process is interrupted at each line that it executes in the modules under test, one line
after the other, and the parent process looks at what is left.
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
from retrain.system.program import deferred_signals

_MODULES = {
    module.__file__
    for module in (
        *(commit, deferred_signals, exchange, journal, journal_files),
        *(leftovers, replacement, staging, unfinished, workspace),
    )
}
_FILE, _FOLDER, _NEW_FILE, _NEW_FOLDER = "labels.txt", "model", "new.txt", "new_model"
_OLD = {_FILE: "old", _FOLDER: ["old"], _NEW_FILE: None, _NEW_FOLDER: None}
_NEW = {_FILE: "new", _FOLDER: ["new"], _NEW_FILE: "new", _NEW_FOLDER: ["new"]}


def _prepare(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    (folder / _FOLDER).mkdir(parents=True)
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


class _Interruption:
    """Calls a function before a certain line is executed in the modules under test.

    Attributes:
        lines: Number of lines executed so far.
    """

    def __init__(self, at: int, interrupt: Callable[[], None]) -> None:
        self.lines = 0
        self._at, self._interrupt = at, interrupt

    def trace(self, frame, event, _):
        if frame.f_code.co_filename not in _MODULES:
            return None
        if event == "line":
            self.lines += 1
            if self.lines == self._at:
                self._interrupt()
        return self.trace


def _run_child(work: Callable[[], None], at: int, number: signal.Signals) -> int:
    """Does the work in a child process that gets a signal at a line. Returns its wait status."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    status = 1
    try:
        for deferred in (signal.SIGINT, signal.SIGTERM):
            handler = signal.default_int_handler if deferred == signal.SIGINT else signal.SIG_DFL
            signal.signal(deferred, handler)
        sys.settrace(_Interruption(at, lambda: os.kill(os.getpid(), number)).trace)
        with contextlib.suppress(KeyboardInterrupt):
            work()
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

    def interrupt_everywhere(self, number: signal.Signals, check: Callable[[int], None]) -> None:
        """Interrupts at each line, from the first to the last, and checks the wait status."""
        # Counts the lines, and imports everything, so that the child processes do not have to.
        _prepare(self.folder)
        counter = _Interruption(0, lambda: None)
        previous = sys.gettrace()
        sys.settrace(counter.trace)
        _write_all(self.folder)
        sys.settrace(previous)
        self.assertGreater(counter.lines, 100)
        for at in range(1, counter.lines + 1):
            _prepare(self.folder)
            status = _run_child(lambda: _write_all(self.folder), at, number)
            with self.subTest(f"interrupted at line {at}"):
                check(status)

    @parameterized.parameters(True, False)
    def test_after_a_kill_a_reader_of_one_path_finds_all_old_or_all_new(self, with_exchange):
        self.use_exchange(with_exchange)
        found = set()
        readers = itertools.cycle(_OLD)

        def check(_: int) -> None:
            with mock.patch("logging.warning"):
                unfinished.settle(self.folder / next(readers))
            contents = _contents(self.folder)
            # Either none of the files is in place, or the journal names all of them.
            self.assertIn(contents, (_OLD, _NEW))
            found.add(str(contents))
            _write_all(self.folder)
            self.assertEqual(_contents(self.folder), _NEW)
            self.assertCountEqual((path.name for path in self.folder.iterdir()), _NEW)

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
            _run_child(replace_and_die, 0, signal.SIGKILL)
            self.assertEqual(_contents(self.folder), _NEW)

        self.enter_context(mock.patch("logging.warning"))
        prepare()
        counter = _Interruption(0, lambda: None)
        previous = sys.gettrace()
        sys.settrace(counter.trace)
        unfinished.settle(self.folder / _FILE)
        sys.settrace(previous)
        self.assertEqual(_contents(self.folder), _OLD)
        self.assertGreater(counter.lines, 50)
        for at in range(1, counter.lines + 1):
            prepare()
            _run_child(lambda: unfinished.settle(self.folder / _FILE), at, signal.SIGKILL)
            with self.subTest(f"killed at line {at}"):
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

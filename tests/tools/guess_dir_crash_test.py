"""A run of guess_dir that is killed anywhere loses no image, and can be continued or undone.

The test kills the program before each of its file operations in turn.
"""

import os
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

from absl.testing import absltest, parameterized

from label_image.classifier import NO_OVERRIDES, Prediction
from retrain.errors import UserError
from retrain.metadata import STRETCH
from retrain.runtimes.runtime import NO_DESCRIPTION
from tools.guess import batch_sorter
from tools.guess.options import Options
from tools.guess.sort_images import sort_images
from tools.transfers import journal, results_file, results_writer, transfer
from tools.transfers.plan import Plan
from tools.transfers.results_writer import SortedRun
from tools.transfers.undo import undo

_FILE_OPERATIONS = {
    "open",
    "os.link",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.symlink",
}
_OTHER_FILE_SYSTEM = Path("/dev/shm")


class _SizeClassifier:
    """Labels files by whether their size is even or odd."""

    labels = ("even", "odd")
    unknown_below = None
    decoding = SimpleNamespace(fit=STRETCH)
    runtime = SimpleNamespace(description=NO_DESCRIPTION)
    overrides = NO_OVERRIDES

    def classify(self, sources):
        for source in sources:
            odd = source.stat().st_size % 2
            ranked = (("odd", 0.9), ("even", 0.1)) if odd else (("even", 0.9), ("odd", 0.1))
            yield Prediction(source, ranked)


class CrashTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.graph = self.folder / "graph"
        self.graph.touch()
        self.enter_context(absltest.mock.patch.object(batch_sorter, "_BATCH_SIZE", 3))
        # What a process wrote before it was killed needs no flush.
        self.enter_context(absltest.mock.patch("os.fsync"))
        state = {"XDG_STATE_HOME": str(self.folder / "state")}
        self.enter_context(absltest.mock.patch.dict(os.environ, state))
        # Imports everything, so that the child processes do not have to, and are killed before
        # operations of the program only.
        options = self.new_options(self.folder, -1)
        sort_images(options, self.graph, _SizeClassifier())
        undo(options.results)

    def new_options(self, root: Path, number: int, **changes) -> Options:
        source = self.folder / f"{number}" / "source"
        source.mkdir(parents=True)
        for size in (5000, 5000, 7000, 6001, 8001):
            (source / f"{len(list(source.iterdir()))}.jpg").write_bytes(os.urandom(size))
        target = root / f"{number}" / "target"
        results = self.folder / f"{number}.csv"
        # The record of an earlier run that was undone. It can be overwritten, even while this run
        # puts images at the same paths.
        undone = [Plan("0.jpg", name) for name in ("even/0.jpg", "even-0.90000.jpg")]
        run = SortedRun(source, target, "copied", ())
        results_writer.write(results, undone, run, format_=".csv")
        return Options(source=source, target=target, unsure_below=0.5, results=results, **changes)

    def run_child(self, options, *, kill_at=None, undo_file=None):
        """Sorts or undoes in a child process, and kills it before file operation `kill_at`."""
        child = os.fork()
        if not child:
            _kill_self_at(kill_at)
            status = 1
            try:
                if undo_file:
                    status = undo(undo_file).failed
                else:
                    status = sort_images(options, self.graph, _SizeClassifier()).num_failed
            except UserError as error:
                print(error, file=sys.stderr)
            except Exception:
                traceback.print_exc()
            finally:
                os._exit(status)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    @parameterized.product(
        operation=(transfer.COPY, transfer.MOVE, transfer.HARD_LINK, transfer.SYMBOLIC_LINK),
        then=("continue", "undo"),
    )
    def test_a_run_killed_anywhere_can_be_continued_and_undone(self, operation: str, then: str):
        self.assertGreater(self.kill_everywhere(self.folder, operation, then), 20)

    @parameterized.parameters("continue", "undo")
    def test_a_move_between_file_systems_can_be_killed_anywhere(self, then: str):
        if not os.access(_OTHER_FILE_SYSTEM, os.W_OK):
            self.skipTest(f"{_OTHER_FILE_SYSTEM} does not exist")
        other = Path(tempfile.mkdtemp(dir=_OTHER_FILE_SYSTEM))
        self.addCleanup(shutil.rmtree, other)
        self.assertGreater(self.kill_everywhere(other, transfer.MOVE, then), 40)

    def kill_everywhere(self, root: Path, operation: str, then: str) -> int:
        """Returns the number of file operations before which the program was killed."""
        for kill_at in range(1000):
            options = self.new_options(
                root, kill_at, operation=operation, by_folder=kill_at % 2 == 0
            )
            before = _contents(options.source)
            status = self.run_child(options, kill_at=kill_at)
            self.assert_nothing_lost(options, before)
            if status == 0:
                return kill_at
            self.assertEqual(status, -signal.SIGKILL)
            if _contents(options.target) == before and not _journal(options).exists():
                pass  # The run was complete.
            elif then == "continue":
                self.assert_run_continues(options, before)
            else:
                self.assert_undo_restores(options, before, kill_at)
            shutil.rmtree(options.source.parent)
            shutil.rmtree(options.target.parent, ignore_errors=True)
        raise AssertionError("the program was killed 1000 times")

    def assert_nothing_lost(self, options: Options, before: Counter) -> None:
        after = _contents(options.target)
        self.assertContainsSubset(set(after), set(before), "an image is truncated")
        after += _contents(options.source)
        self.assertContainsSubset(set(before), set(after), "an image is lost")

    def assert_run_continues(self, options: Options, before: Counter) -> None:
        self.assertEqual(self.run_child(options), 0)
        self.assertEqual(_contents(options.target), before)
        remaining = Counter() if options.operation == transfer.MOVE else before
        self.assertEqual(_contents(options.source), remaining)
        self.assertEmpty([*options.target.rglob(".*")], "a hidden file is left")
        assert options.results
        self.assertLen(list(results_file.read(options.results)), 5)

    def assert_undo_restores(self, options: Options, before: Counter, kill_at: int) -> None:
        while _journal(options).exists():
            # The undo is killed, too, a bit later each time.
            status = self.run_child(options, kill_at=kill_at, undo_file=_journal(options))
            self.assertIn(status, (0, -signal.SIGKILL))
            self.assert_nothing_lost(options, before)
            kill_at += 10
        self.assertEqual(_contents(options.source), before)
        if options.target.exists():
            self.assertEmpty([path for path in options.target.rglob("*") if path.is_file()])


def _kill_self_at(number: int | None) -> None:
    """Kills this process with SIGKILL before its file operation `number`."""
    remaining = iter(range(number)) if number is not None else None

    def hook(event: str, _: tuple) -> None:
        if remaining and event in _FILE_OPERATIONS and next(remaining, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def _journal(options: Options) -> Path:
    return options.target / journal.NAME


def _contents(folder: Path) -> Counter:
    """Counts the contents of the files in a folder, except for the program's own hidden files."""
    return Counter(
        path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".guess_dir")
    )


if __name__ == "__main__":
    absltest.main()

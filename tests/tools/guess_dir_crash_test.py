"""No image is lost or cut wherever guess_dir is killed, and it goes on or back from there.

The program is killed at each of its calls to do with files, one after the other.
"""

import os
import shutil
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path

from absl.testing import absltest, parameterized

from label_image.classifier import Prediction
from retrain.errors import UserError
from tools.guess import guessing, journal, results_file, undoing
from tools.guess.options import Options
from tools.guess.results_file import Result

_WATCHED = {"open", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink"}
_OTHER_FILE_SYSTEM = Path("/dev/shm")


class _BySize:
    """Takes images with an even number of bytes for one thing, others for another."""

    labels = ("even", "odd")

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
        self.enter_context(absltest.mock.patch.object(guessing, "_BATCH", 3))

    def new_options(self, root: Path, number: int, **changes) -> Options:
        source = self.folder / f"{number}" / "source"
        source.mkdir(parents=True)
        for size in (5000, 5000, 7000, 6001, 8001):
            (source / f"{len(list(source.iterdir()))}.jpg").write_bytes(os.urandom(size))
        target = root / f"{number}" / "target"
        results = self.folder / f"{number}.csv"
        # An earlier run was undone, whose record may be written over, also while this run files
        # images in the same places.
        undone = [
            Result(str(source / "0.jpg"), str(target / name), "copied")
            for name in ("even/0.jpg", "even-0.90000.jpg")
        ]
        results_file.write(results, ".csv", undone, ())
        return Options(source, target, unsure_below=0.5, results=results, **changes)

    def act(self, options, kill_at=None, undo=None):
        """Files or undoes in a child, which dies before the call with the number `kill_at`."""
        child = os.fork()
        if not child:
            _kill_self_at(kill_at)
            status = 1
            try:
                if undo:
                    status = undoing.undo(undo).failed
                else:
                    status = guessing.guess(options, self.graph, _BySize()).left
            except UserError as error:
                print(error, file=sys.stderr)
            finally:
                os._exit(status)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    @parameterized.product(how=("copy", "move", "hard", "symbolic"), then=("go on", "undo"))
    def test_killed_anywhere(self, how: str, then: str):
        self.assertGreater(self.kill_everywhere(self.folder, how, then), 20)

    @parameterized.parameters("go on", "undo")
    def test_killed_anywhere_between_file_systems(self, then: str):
        if not os.access(_OTHER_FILE_SYSTEM, os.W_OK):
            self.skipTest(f"{_OTHER_FILE_SYSTEM} is not there")
        other = Path(tempfile.mkdtemp(dir=_OTHER_FILE_SYSTEM))
        self.addCleanup(shutil.rmtree, other)
        self.assertGreater(self.kill_everywhere(other, "move", then), 40)

    def kill_everywhere(self, root: Path, how: str, then: str) -> int:
        """Returns how many places there were to kill at."""
        for kill_at in range(1000):
            options = self.new_options(root, kill_at, how=how, by_folder=kill_at % 2 == 0)
            before = _contents(options.source)
            status = self.act(options, kill_at)
            self.assert_nothing_lost(options, before)
            if status == 0:
                return kill_at
            self.assertEqual(status, -signal.SIGKILL)
            if _contents(options.target) == before and not _journal(options).exists():
                pass  # It was about to end.
            elif then == "go on":
                self.assert_goes_on(options, before)
            else:
                self.assert_goes_back(options, before, kill_at)
            shutil.rmtree(options.source.parent)
            shutil.rmtree(options.target.parent, ignore_errors=True)
        raise AssertionError("it did not end")

    def assert_nothing_lost(self, options: Options, before: Counter) -> None:
        filed = _contents(options.target)
        self.assertContainsSubset(set(filed), set(before), "a file is cut")
        self.assertContainsSubset(set(before), {*filed, *_contents(options.source)}, "one is lost")

    def assert_goes_on(self, options: Options, before: Counter) -> None:
        self.assertEqual(self.act(options), 0)
        self.assertEqual(_contents(options.target), before)
        left = Counter() if options.how == "move" else before
        self.assertEqual(_contents(options.source), left)
        self.assertEmpty([*options.target.rglob(".*")], "something is left over")
        assert options.results
        self.assertLen(list(results_file.read(options.results)), 5)

    def assert_goes_back(self, options: Options, before: Counter, kill_at: int) -> None:
        while _journal(options).exists():
            # It is killed, too, ever later.
            status = self.act(options, kill_at, undo=_journal(options))
            self.assertIn(status, (0, -signal.SIGKILL))
            self.assert_nothing_lost(options, before)
            kill_at += 10
        self.assertEqual(_contents(options.source), before)
        if options.target.exists():
            self.assertEmpty([path for path in options.target.rglob("*") if path.is_file()])


def _kill_self_at(number: int | None) -> None:
    """Kills this process, leaving it no time, before a call to do with files."""
    calls = iter(range(number)) if number is not None else None

    def hook(event: str, _: tuple) -> None:
        if calls is not None and event in _WATCHED and next(calls, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def _journal(options: Options) -> Path:
    return options.target / journal.NAME


def _contents(folder: Path) -> Counter:
    """Counts what the files in a folder have in them, but for those that the program hides."""
    return Counter(
        path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".guess_dir")
    )


if __name__ == "__main__":
    absltest.main()

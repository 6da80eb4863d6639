"""guess_dir files what can be filed, explains the rest, and can be stopped and undone."""

import json
import os
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

from absl.testing import absltest, parameterized

from tests.support import privileges, programs
from tools.guess.journal import NAME, Journal

_OTHER_FILE_SYSTEM = Path("/dev/shm")
_SCORE = r"[01]\.\d{5}"


class GuessDirMainTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.shared = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.shared)
        cls.drawn = programs.draw_colours(cls.shared / "pictures")
        done = programs.run("retrain", f"--image_dir={cls.drawn}", *programs.outputs(cls.shared))
        assert done.returncode == 0, done.stderr
        cls.graph = cls.shared / "graph.pb"

    def setUp(self):
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.source, self.target = self.folder / "source", self.folder / "target"
        self.source.mkdir()

    def draw(self, **names: str) -> None:
        """Puts images into the source: of each name, whose colour."""
        for name, colour in names.items():
            shutil.copyfile(self.drawn / colour / "0.jpg", self.source / f"{name}.jpg")

    def draw_many(self, count: int) -> None:
        images = sorted(self.drawn.rglob("*.jpg"))
        for number in range(count):
            # No two are the same.
            data = images[number % len(images)].read_bytes() + number.to_bytes(4, "big")
            (self.source / f"{number:04}.jpg").write_bytes(data)

    def guess(self, *flags: object, **options) -> subprocess.CompletedProcess:
        arguments = (f"--graph={self.graph}", *flags, "--", self.source, self.target)
        return programs.run("guess_dir", *arguments, **options)

    def undo(self, path: Path) -> subprocess.CompletedProcess:
        return programs.run("guess_dir", f"--undo={path}")

    def assert_done(self, done: subprocess.CompletedProcess) -> None:
        self.assertEqual(done.returncode, 0, done.stderr)

    def assert_one_line(self, done: subprocess.CompletedProcess, *parts: str) -> None:
        self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
        self.assertRegex(done.stderr, r"\AError: .*\n\Z")
        for part in parts:
            self.assertIn(part, done.stderr)

    @property
    def journal(self) -> Path:
        return self.target / NAME

    def filed(self) -> list[str]:
        return sorted(
            str(p.relative_to(self.target)) for p in self.target.rglob("*") if p.is_file()
        )

    def test_copies_are_named_after_class_and_score(self):
        self.draw(one="Red", two="Red", three="Blue")
        (self.source / "four.PNG").write_bytes((self.drawn / "Green/1.png").read_bytes())
        done = self.guess()
        self.assert_done(done)
        blue, green, again, red = self.filed()
        self.assertRegex(blue, rf"\Ablue-{_SCORE}\.jpg\Z")
        self.assertRegex(green, rf"\Agreen-{_SCORE}\.PNG\Z")
        self.assertRegex(red, rf"\Ared-{_SCORE}\.jpg\Z")
        self.assertEqual(again, f"{red[:-4]}-2.jpg")
        self.assertRegex(done.stdout, r"(?m)^class +images +mean score\nred +2 +[01]\.\d{3}$")
        self.assertEndsWith(done.stderr, f"Copied 4 images to {self.target}\n")
        self.assertLen(list(self.source.iterdir()), 4)

    def test_nothing_is_written_over_by_a_second_run(self):
        self.draw(one="Red")
        for _ in range(3):
            self.assert_done(self.guess())
        first, second, third = sorted(self.filed(), key=len)
        self.assertEqual({second, third}, {f"{first[:-4]}-{number}.jpg" for number in (2, 3)})

    def test_by_folder_with_folders_in_folders_and_all_scores(self):
        self.draw(one="Red", two="Blue")
        (self.source / "in" / "deep").mkdir(parents=True)
        shutil.copyfile(self.source / "one.jpg", self.source / "in" / "deep" / "one.jpg")
        results = self.folder / "results.json"
        self.assert_done(self.guess("--by_folder", "--recursive", "--move", f"--results={results}"))
        self.assertEqual(self.filed(), ["blue/two.jpg", "red/one-2.jpg", "red/one.jpg"])
        self.assertEmpty([path for path in self.source.rglob("*") if path.is_file()])
        first, *others = json.loads(results.read_text())
        self.assertEqual(first["picture"], str(self.source / "one.jpg"))
        self.assertEqual(first["filed"], str(self.target / "red" / "one.jpg"))
        self.assertCountEqual(first["scores"], ["red", "green", "blue"])
        self.assertLen(others, 2)
        self.assert_done(self.undo(results))
        self.assertTrue((self.source / "in" / "deep" / "one.jpg").exists())
        self.assertFalse(self.target.exists())

    @parameterized.parameters(".json", ".csv", ".jsonl")
    def test_results_of_all_formats_undo_all(self, format_):
        self.draw_many(5)
        results = self.folder / f"results{format_}"
        before = _contents(self.source)
        self.assert_done(self.guess("--move", f"--results={results}"))
        self.assertEqual(_contents(self.target), before)
        done = self.undo(results)
        self.assertEqual((done.returncode, done.stderr), (0, "5 images are as they were before\n"))
        self.assertEqual(_contents(self.source), before)

    def test_the_record_of_another_run_is_kept(self):
        results = self.folder / "results.csv"
        flags = ("--move", "--by_folder", f"--results={results}")
        self.draw(one="Red")
        before = _contents(self.source)
        self.assert_done(self.guess("--dry_run", *flags))
        self.assert_done(self.guess(*flags))
        record = results.read_bytes()
        first, self.source = self.source, self.folder / "second"
        self.source.mkdir()
        self.draw(two="Red")
        done = self.guess(*flags)
        self.assert_one_line(done, f"--results={results} has the record of", f"--undo={results}")
        self.assertEqual((self.filed(), results.read_bytes()), (["red/one.jpg"], record))
        self.assert_done(self.undo(results))
        self.assertEqual(_contents(first), before)
        self.assert_done(self.guess(*flags))
        self.assertEqual(self.filed(), ["red/two.jpg"])

    def test_results_that_another_run_wrote_meanwhile_are_kept(self):
        self.draw_many(300)
        results = self.folder / "results.csv"
        self.stop(signal.SIGKILL, 1, f"--results={results}")
        record = f"picture,filed,action\n/gone.jpg,{self.graph},moved\n"
        results.write_text(record)
        self.assert_one_line(self.guess(f"--results={results}"), "name another file")
        other = self.folder / "other.csv"
        done = self.guess(f"--results={other}")
        self.assert_done(done)
        self.assertIn("Going on after", done.stderr)
        self.assertEqual(results.read_text(), record)
        self.assert_done(self.undo(other))
        self.assertEmpty(self.filed())

    def test_links(self):
        self.draw(one="Red")
        self.assert_done(self.guess("--link=symbolic"))
        (link,) = self.target.iterdir()
        self.assertEqual(link.readlink(), self.source / "one.jpg")
        link.unlink()
        self.assert_done(self.guess("--link=hard"))
        self.assertTrue(link.samefile(self.source / "one.jpg"))
        self.assertFalse(link.is_symlink())

    def test_hard_links_to_another_file_system(self):
        self.draw(one="Red")
        if not os.access(_OTHER_FILE_SYSTEM, os.W_OK):
            self.skipTest(f"{_OTHER_FILE_SYSTEM} is not there")
        self.target = Path(tempfile.mkdtemp(dir=_OTHER_FILE_SYSTEM)) / "new"
        self.addCleanup(shutil.rmtree, self.target.parent)
        self.assert_one_line(self.guess("--link=hard"), "--link=hard does not lead from")
        self.assertFalse(self.target.exists())
        self.assert_done(self.guess("--move"))
        self.assertLen(self.filed(), 1)

    def test_unsure_ones_go_to_a_folder_of_their_own(self):
        self.draw(one="Red", two="Blue")
        self.assert_done(self.guess("--unsure_below=1"))
        self.assertEqual([name.split("/")[0] for name in self.filed()], ["unsure"] * 2)

    def test_a_dry_run_changes_nothing(self):
        self.draw(one="Red", two="Red")
        results = self.folder / "results.csv"
        done = self.guess("--dry_run", "--move", "--by_folder", f"--results={results}")
        self.assert_done(done)
        self.assertIn(f"{self.source}/two.jpg -> {self.target}/red/two.jpg\n", done.stdout)
        self.assertEndsWith(done.stderr.splitlines()[-2], f"Would file 2 images to {self.target}")
        self.assertFalse(self.target.exists())
        self.assertLen(list(self.source.iterdir()), 2)
        self.assertIn(",planned,red,", results.read_text())
        self.assert_one_line(self.undo(results), "is of a --dry_run")

    def test_what_cannot_be_read_is_named_and_left(self):
        self.draw(one="Red")
        (self.source / "bad.png").write_bytes(b"text")
        (self.source / "empty.gif").touch()
        (self.source / "gone.jpg").symlink_to("nowhere")
        (self.source / "notes.txt").touch()
        (self.source / ".DS_Store").touch()
        (self.source / "locked").mkdir(mode=0)
        done = self.guess("--recursive", "--move", preexec_fn=privileges.drop)
        self.assertEqual(done.returncode, 1)
        self.assertLen(self.filed(), 1)
        for part in (
            "Left out what is hidden: .DS_Store\n",
            "Left out what is no image by its name: 1 .txt\n",
            "Warning: Left out folders that cannot be read: locked (Permission denied)\n",
            f"Warning: {self.source}/bad.png cannot be labelled: it is not a JPEG",
            f"Warning: {self.source}/empty.gif cannot be labelled: it is an empty file\n",
            f"Warning: {self.source}/gone.jpg cannot be labelled: No such file",
            "Warning: 3 images stay where they are, as said above\n",
        ):
            self.assertIn(part, done.stderr)
        self.assertTrue((self.source / "bad.png").exists())

    def test_names_of_every_kind(self):
        names = ["-rf", "new\nline", "x" * 200, "日本語", " ", os.fsdecode(b"\xff"), '"', "a,b"]
        self.draw(**dict.fromkeys(names, "Green"))
        results = self.folder / "results.csv"
        self.assert_done(self.guess("--move", "--by_folder", f"--results={results}"))
        self.assertCountEqual(self.filed(), [f"green/{name}.jpg" for name in names])
        self.assert_done(self.undo(results))
        self.assertCountEqual([p.name for p in self.source.iterdir()], [f"{n}.jpg" for n in names])

    def test_classes_of_every_kind(self):
        labels = self.folder / "labels.txt"
        labels.write_text("../../etc\n\nCON\n")
        self.draw(one="Red", two="Blue", three="Green")
        self.assert_done(self.guess(f"--labels={labels}", "--by_folder"))
        self.assertCountEqual(
            [n.split("/")[0] for n in self.filed()], ["_.._etc", "unnamed", "CON_"]
        )

    def test_the_same_folder(self):
        self.draw(one="Red", two="Blue")
        self.target = self.source
        self.assert_one_line(self.guess(), "is the folder of the images itself", "--by_folder")
        self.assert_one_line(
            self.guess("--recursive", "--by_folder"), "--recursive would file again"
        )
        self.assert_done(self.guess("--move", "--by_folder"))
        self.assertEqual(self.filed(), ["blue/two.jpg", "red/one.jpg"])

    def test_one_folder_in_the_other(self):
        self.draw(one="Red")
        self.target = self.source / "sorted"
        for count in (1, 2):
            self.assert_done(self.guess("--recursive"))
            self.assertLen(self.filed(), count)
        self.draw(two="Blue")
        self.target, self.source = self.source, self.source / "sorted"
        self.assert_done(self.guess("--by_folder"))
        self.assertLen([name for name in self.filed() if name.startswith("red/")], 2)

    @parameterized.parameters("copy", "move")
    def test_killed_and_started_again(self, how):
        flags = ["--move"] if how == "move" else []
        self.draw_many(300)
        before = _contents(self.source)
        for least in (1, 150):
            self.stop(signal.SIGKILL, least, *flags)
            self.assertLen({*_contents(self.source), *_contents(self.target)}, 300)
        done = self.guess(*flags)
        self.assert_done(done)
        self.assertRegex(done.stderr, r"Going on after \d+ of 300 images, where an earlier run was")
        self.assertEqual(_contents(self.target), before)
        self.assertEqual(_contents(self.source), Counter() if flags else before)
        self.assertIn("in all", done.stdout)
        self.assertIn("300", done.stdout)

    def test_interrupted_and_put_back(self):
        self.draw_many(300)
        before = _contents(self.source)
        status, error = self.stop(signal.SIGINT, 1, "--move")
        self.assertEqual(status, 1)
        self.assertRegex(
            error.splitlines()[-1],
            r"^Error: interrupted; \d+ of 300 images are done: start the same command again "
            rf"to go on, or put them back with --undo={self.journal}$",
        )
        other = self.guess("--by_folder")
        self.assert_one_line(
            other, "an interrupted run with another --by_folder and --move or --link"
        )
        self.assert_done(self.undo(self.journal))
        self.assertEqual(_contents(self.source), before)
        self.assertFalse(self.target.exists())

    def stop(self, signal_: int, least: int, *flags: str) -> tuple[int, str]:
        """Starts the program, and stops it when it has filed a number of images."""
        arguments = (f"--graph={self.graph}", *flags, "--", self.source, self.target)
        process = subprocess.Popen(
            programs.command("guess_dir", *arguments),
            env=programs.environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        end = time.monotonic() + 60
        while sum(1 for _ in self.target.glob("*.jpg")) < least and time.monotonic() < end:
            time.sleep(0.01)
        process.send_signal(signal_)
        _, error = process.communicate()
        return process.returncode, error

    def test_no_room(self):
        self.draw_many(3)
        (self.source / "0001.jpg").write_bytes(bytes(60_000))
        image = (self.drawn / "Red/0.jpg").read_bytes()
        (self.source / "0001.jpg").write_bytes(image + bytes(60_000))
        done = self.guess(
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        )
        self.assert_one_line(
            done, f"{self.target} cannot be written: File too large; 0 of 3", "make room and start"
        )
        self.assertContainsSubset(set(_contents(self.target)), set(_contents(self.source)))
        self.assert_done(self.guess())
        self.assertEqual(_contents(self.target), _contents(self.source))

    def test_an_image_that_may_not_be_taken_away_is_not_doubled(self):
        self.draw(one="Red")
        (self.source / "locked").mkdir()
        (self.source / "one.jpg").rename(self.source / "locked" / "one.jpg")
        self.draw(two="Blue")
        (self.source / "locked").chmod(0o555)
        done = self.guess("--move", "--recursive", "--by_folder", preexec_fn=privileges.drop)
        self.assertEqual(done.returncode, 1)
        self.assertIn("one.jpg is not filed: it cannot be taken away: Permission", done.stderr)
        self.assertEqual(self.filed(), ["blue/two.jpg"])
        done = self.guess(
            "--move", preexec_fn=lambda: (self.source.chmod(0o555), privileges.drop())
        )
        self.assert_one_line(done, f"--move cannot take images out of {self.source}")

    def test_a_classifier_that_does_not_fit_leaves_nothing(self):
        self.draw(one="Red")
        labels = self.folder / "labels.txt"
        labels.write_text("a\nb\n")
        self.assert_one_line(self.guess(f"--labels={labels}"), "2 labels")
        self.assertFalse(self.target.exists())

    def test_a_target_where_one_may_not_write(self):
        self.draw(one="Red")
        self.folder.joinpath("locked").mkdir(mode=0o555)
        self.target = self.folder / "locked"
        done = self.guess(preexec_fn=privileges.drop)
        self.assert_one_line(done, f"{self.target}", "Permission denied")
        self.target = self.folder / "locked" / "new"
        done = self.guess(preexec_fn=privileges.drop)
        self.assert_one_line(done, f"the folder {self.target} cannot be made: Permission denied")

    def test_folders_without_images(self):
        self.assert_one_line(self.guess(), "has no images (jpg, ", "--recursive")
        for number in range(3):
            (self.source / f"{number}.txt").touch()
        self.assert_one_line(self.guess("--recursive"), "has no images", "only 3 .txt")
        self.assertFalse(self.target.exists())

    def test_folders_that_are_none(self):
        self.source.rmdir()
        self.assert_one_line(self.guess(), f"the folder {self.source} is not there")
        self.source.touch()
        self.assert_one_line(self.guess(), f"{self.source} is a file; name a folder")
        self.source.unlink()
        self.source.mkdir()
        self.target.touch()
        self.assert_one_line(self.guess(), f"{self.target} is a file; name a folder")

    def test_two_at_a_time(self):
        self.draw(one="Red")
        self.target.mkdir()
        with Journal(self.journal):
            self.assert_one_line(self.guess(), "another guess_dir files images into")

    @parameterized.parameters(
        (["a"], "two folders are needed", "received: a"),
        ([], "two folders are needed", "received: none"),
        (["--move", "--link=hard", "a", "b"], "--move and --link=hard exclude each other"),
        (["--link=soft", "a", "b"], "link"),
        (["--unsure_below=1.5", "a", "b"], "unsure_below"),
        (["--undo=x.csv", "a", "b"], "--undo takes no folders; received: a b"),
        (["--undo=/no/x.csv"], "--undo=/no/x.csv cannot be read"),
        (["--results=x.txt", "/", "b"], "x.txt does not say in which format"),
        (["--results=/dev/null/x.csv", "/", "b"], "--results=/dev/null/x.csv cannot be written"),
        (["--graph=/no/graph", "/usr", "b"], "--graph=/no/graph cannot be read"),
    )
    def test_flags(self, arguments, *parts):
        done = programs.run("guess_dir", *arguments, cwd=Path.cwd())
        self.assert_one_line(done, *parts)


def _contents(folder: Path) -> Counter:
    return Counter(path.read_bytes() for path in folder.glob("*.jpg"))


if __name__ == "__main__":
    absltest.main()

"""guess_dir sorts images, explains failures, and can be interrupted and undone."""

import csv
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

from absl.testing import absltest, parameterized

from tests.support import natural_images, old_graphs, privileges, programs
from tools.transfers.journal import NAME, Journal

_OTHER_FILE_SYSTEM = Path("/dev/shm")
_SCORE = r"[01]\.\d{5}"


class GuessDirMainTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.shared = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.shared)
        cls.drawn = programs.draw_colours(cls.shared / "images")
        done = programs.run("retrain", f"--image_dir={cls.drawn}", *programs.outputs(cls.shared))
        assert done.returncode == 0, done.stderr
        cls.graph = cls.shared / "graph.pb"

    def setUp(self):
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.source, self.target = self.folder / "source", self.folder / "target"
        self.source.mkdir()
        state = {"XDG_STATE_HOME": str(self.folder / "state")}
        self.enter_context(absltest.mock.patch.dict(os.environ, state))

    def draw(self, **names: str) -> None:
        """Puts an image of the colour under each name into the source folder."""
        for name, colour in names.items():
            shutil.copyfile(self.drawn / colour / "0.jpg", self.source / f"{name}.jpg")

    def draw_many(self, count: int) -> None:
        images = sorted(self.drawn.rglob("*.jpg"))
        for number in range(count):
            # Makes each image different.
            data = images[number % len(images)].read_bytes() + number.to_bytes(4, "big")
            (self.source / f"{number:04}.jpg").write_bytes(data)

    def run_guess_dir(self, *flags: object, **options) -> subprocess.CompletedProcess:
        arguments = (f"--graph={self.graph}", *flags, "--", self.source, self.target)
        return programs.run("guess_dir", *arguments, **options)

    def undo(self, path: Path) -> subprocess.CompletedProcess:
        return programs.run("guess_dir", f"--undo={path}")

    def assert_succeeded(self, done: subprocess.CompletedProcess) -> None:
        self.assertEqual(done.returncode, 0, done.stderr)

    def assert_one_line_error(self, done: subprocess.CompletedProcess, *parts: str) -> None:
        self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
        self.assertRegex(done.stderr, r"\AError: .*\n\Z")
        for part in parts:
            self.assertIn(part, done.stderr)

    @property
    def journal(self) -> Path:
        return self.target / NAME

    def sorted_files(self) -> list[str]:
        return sorted(
            str(p.relative_to(self.target)) for p in self.target.rglob("*") if p.is_file()
        )

    def test_copies_are_named_after_label_and_score(self):
        self.draw(one="Red", two="Red", three="Blue")
        (self.source / "four.PNG").write_bytes((self.drawn / "Green/1.png").read_bytes())
        done = self.run_guess_dir()
        self.assert_succeeded(done)
        blue, green, second_red, red = self.sorted_files()
        self.assertRegex(blue, rf"\Ablue-{_SCORE}\.jpg\Z")
        self.assertRegex(green, rf"\Agreen-{_SCORE}\.PNG\Z")
        self.assertRegex(red, rf"\Ared-{_SCORE}\.jpg\Z")
        self.assertEqual(second_red, f"{red[:-4]}-2.jpg")
        self.assertRegex(done.stdout, r"(?m)^class +images +mean score\nred +2 +[01]\.\d{3}$")
        self.assertEndsWith(done.stderr, f"Copied 4 images to {self.target}\n")
        self.assertLen(list(self.source.iterdir()), 4)

    def test_a_second_run_does_not_overwrite_files(self):
        self.draw(one="Red")
        for _ in range(3):
            self.assert_succeeded(self.run_guess_dir())
        first, second, third = sorted(self.sorted_files(), key=len)
        self.assertEqual({second, third}, {f"{first[:-4]}-{number}.jpg" for number in (2, 3)})

    def test_subfolders_are_sorted_by_folder_with_all_scores(self):
        self.draw(one="Red", two="Blue")
        (self.source / "in" / "deep").mkdir(parents=True)
        shutil.copyfile(self.source / "one.jpg", self.source / "in" / "deep" / "one.jpg")
        results = self.folder / "results.json"
        self.assert_succeeded(
            self.run_guess_dir("--by_folder", "--recursive", "--move", f"--results={results}")
        )
        self.assertEqual(self.sorted_files(), ["blue/two.jpg", "red/one-2.jpg", "red/one.jpg"])
        self.assertEmpty([path for path in self.source.rglob("*") if path.is_file()])
        first, *others = json.loads(results.read_text())
        self.assertEqual(first["image"], str(self.source / "one.jpg"))
        self.assertEqual(first["picture"], first["image"])
        self.assertEqual(first["filed"], str(self.target / "red" / "one.jpg"))
        self.assertCountEqual(first["scores"], ["red", "green", "blue"])
        self.assertLen(others, 2)
        self.assert_succeeded(self.undo(results))
        self.assertTrue((self.source / "in" / "deep" / "one.jpg").exists())
        self.assertFalse(self.target.exists())

    @parameterized.parameters(".json", ".csv", ".jsonl")
    def test_results_of_each_format_can_be_undone(self, format_):
        self.draw_many(5)
        results = self.folder / f"results{format_}"
        before = _contents(self.source)
        self.assert_succeeded(self.run_guess_dir("--move", f"--results={results}"))
        self.assertEqual(_contents(self.target), before)
        done = self.undo(results)
        self.assertEqual((done.returncode, done.stderr), (0, "Restored 5 images\n"))
        self.assertEqual(_contents(self.source), before)
        again = self.undo(results)
        self.assertEqual(again.returncode, 0)
        self.assertStartsWith(again.stderr, "Nothing is left to undo: ")
        self.assertEqual(_contents(self.source), before)

    def test_the_results_of_another_run_are_kept(self):
        results = self.folder / "results.csv"
        flags = ("--move", "--by_folder", f"--results={results}")
        self.draw(one="Red")
        before = _contents(self.source)
        self.assert_succeeded(self.run_guess_dir("--dry_run", *flags))
        self.assert_succeeded(self.run_guess_dir(*flags))
        record = results.read_bytes()
        first, self.source = self.source, self.folder / "second"
        self.source.mkdir()
        self.draw(two="Red")
        done = self.run_guess_dir(*flags)
        self.assert_one_line_error(
            done, f"--results={results} has the record of", f"--undo={results}"
        )
        self.assertEqual((self.sorted_files(), results.read_bytes()), (["red/one.jpg"], record))
        self.assert_succeeded(self.undo(results))
        self.assertEqual(_contents(first), before)
        self.assert_succeeded(self.run_guess_dir(*flags))
        self.assertEqual(self.sorted_files(), ["red/two.jpg"])

    def test_results_that_another_run_wrote_during_an_interruption_are_kept(self):
        self.draw_many(300)
        results = self.folder / "results.csv"
        self.stop(signal.SIGKILL, 1, f"--results={results}")
        record = f"picture,filed,action\n/gone.jpg,{self.graph},moved\n"
        results.write_text(record)
        self.assert_one_line_error(
            self.run_guess_dir(f"--results={results}"), "choose another file"
        )
        other = self.folder / "other.csv"
        done = self.run_guess_dir(f"--results={other}")
        self.assert_succeeded(done)
        self.assertIn("Continuing an interrupted run after", done.stderr)
        self.assertEqual(results.read_text(), record)
        self.assert_succeeded(self.undo(other))
        self.assertEmpty(self.sorted_files())

    def test_hard_and_symbolic_links_are_created(self):
        self.draw(one="Red")
        self.assert_succeeded(self.run_guess_dir("--link=symbolic"))
        (link,) = self.target.iterdir()
        self.assertEqual(link.readlink(), self.source / "one.jpg")
        link.unlink()
        self.assert_succeeded(self.run_guess_dir("--link=hard"))
        self.assertTrue(link.samefile(self.source / "one.jpg"))
        self.assertFalse(link.is_symlink())

    def test_hard_links_to_another_file_system_are_refused(self):
        self.draw(one="Red")
        if not os.access(_OTHER_FILE_SYSTEM, os.W_OK):
            self.skipTest(f"{_OTHER_FILE_SYSTEM} does not exist")
        self.target = Path(tempfile.mkdtemp(dir=_OTHER_FILE_SYSTEM)) / "new"
        self.addCleanup(shutil.rmtree, self.target.parent)
        self.assert_one_line_error(
            self.run_guess_dir("--link=hard"), "--link=hard cannot link from"
        )
        self.assertFalse(self.target.exists())
        self.assert_succeeded(self.run_guess_dir("--move"))
        self.assertLen(self.sorted_files(), 1)

    def test_unsure_images_go_to_a_separate_folder(self):
        self.draw(one="Red", two="Blue")
        self.assert_succeeded(self.run_guess_dir("--unsure_below=1"))
        self.assertEqual([name.split("/")[0] for name in self.sorted_files()], ["unsure"] * 2)

    def test_images_of_other_things_go_to_a_folder_of_their_own(self):
        self.draw(one="Red", two="Blue")
        natural_images.draw(0).save(self.source / "photo.png")
        (self.source / "bad.jpg").write_bytes(b"text")
        before = sorted(path.name for path in self.source.iterdir())
        results = self.folder / "results.csv"
        done = self.run_guess_dir(
            "--move", "--by_folder", "--unsure_below=0.1", f"--results={results}"
        )
        self.assertEqual(done.returncode, 1)
        self.assertEqual(self.sorted_files(), ["blue/two.jpg", "red/one.jpg", "unknown/photo.png"])
        self.assertRegex(done.stdout, r"(?m)^none of these +1\ntotal +3$")
        self.assertIn(
            f"Images that show none of the classes: 1, in {self.target}/unknown\n", done.stderr
        )
        with results.open(newline="") as file:
            rows = {Path(row["picture"]).name: row for row in csv.DictReader(file)}
        self.assertEqual(
            {name: row["unknown"] for name, row in rows.items()},
            {"one.jpg": "false", "two.jpg": "false", "photo.png": "true", "bad.jpg": ""},
        )
        self.assertLess(float(rows["photo.png"]["familiarity"]), 0.05)
        self.assertGreaterEqual(float(rows["one.jpg"]["familiarity"]), 0.05)
        self.assertEqual(rows["bad.jpg"]["familiarity"], "")
        self.assert_succeeded(self.undo(results))
        self.assertEqual(sorted(path.name for path in self.source.iterdir()), before)
        self.assertFalse(self.target.exists())
        self.run_guess_dir("--by_folder", "--unknown_below=0")
        self.assertLen(self.sorted_files(), 3)
        self.assertFalse((self.target / "unknown").exists())

    def test_a_classifier_of_an_earlier_version_cannot_tell_unknown_images(self):
        self.draw(one="Red")
        natural_images.draw(0).save(self.source / "photo.png")
        self.graph = old_graphs.without_familiarity(self.folder / "old.pb", self.graph)
        self.assert_one_line_error(
            self.run_guess_dir("--unknown_below=0.1"), "--unknown_below=0.1 needs a classifier"
        )
        self.assertFalse(self.target.exists())
        done = self.run_guess_dir("--by_folder")
        self.assert_succeeded(done)
        self.assertEqual(done.stderr.count("does not state how familiar images are"), 1)
        self.assertLen(self.sorted_files(), 2)
        self.assertFalse((self.target / "unknown").exists())

    def test_a_dry_run_changes_nothing(self):
        self.draw(one="Red", two="Red")
        results = self.folder / "results.csv"
        done = self.run_guess_dir("--dry_run", "--move", "--by_folder", f"--results={results}")
        self.assert_succeeded(done)
        self.assertIn(f"{self.source}/two.jpg -> {self.target}/red/two.jpg\n", done.stdout)
        self.assertEndsWith(
            done.stderr.splitlines()[-2], f"Would have moved 2 images to {self.target}"
        )
        self.assertFalse(self.target.exists())
        self.assertLen(list(self.source.iterdir()), 2)
        self.assertIn(",planned,red,", results.read_text())
        self.assert_one_line_error(self.undo(results), "records a --dry_run")

    def test_unreadable_and_skipped_files_are_reported_and_kept(self):
        self.draw(one="Red")
        (self.source / "bad.png").write_bytes(b"text")
        (self.source / "empty.gif").touch()
        (self.source / "gone.jpg").symlink_to("nowhere")
        os.mkfifo(self.source / "pipe.jpg")
        (self.source / "notes.txt").touch()
        (self.source / ".DS_Store").touch()
        (self.source / "locked").mkdir(mode=0)
        done = self.run_guess_dir("--recursive", "--move", preexec_fn=privileges.drop)
        self.assertEqual(done.returncode, 1)
        self.assertLen(self.sorted_files(), 1)
        for part in (
            "Skipped hidden files and folders: .DS_Store\n",
            "Skipped files that are not images: 1 .txt\n",
            "Warning: Skipped unreadable folders: locked (Permission denied)\n",
            f"Warning: {self.source}/bad.png cannot be labelled: it is not a JPEG",
            f"Warning: {self.source}/empty.gif cannot be labelled: it is an empty file\n",
            "Warning: Skipped pipes, sockets, devices and broken links: gone.jpg (broken link), "
            "pipe.jpg (pipe)\n",
            "Warning: 2 images were not sorted; the warnings above say why\n",
        ):
            self.assertIn(part, done.stderr)
        self.assertTrue((self.source / "bad.png").exists())

    def test_images_with_unusual_names_are_sorted_and_restored(self):
        names = ["-rf", "new\nline", "x" * 200, "日本語", " ", os.fsdecode(b"\xff"), '"', "a,b"]
        self.draw(**dict.fromkeys(names, "Green"))
        results = self.folder / "results.csv"
        self.assert_succeeded(self.run_guess_dir("--move", "--by_folder", f"--results={results}"))
        self.assertCountEqual(self.sorted_files(), [f"green/{name}.jpg" for name in names])
        self.assert_succeeded(self.undo(results))
        self.assertCountEqual([p.name for p in self.source.iterdir()], [f"{n}.jpg" for n in names])

    def test_unsafe_labels_become_safe_folder_names(self):
        labels = self.folder / "labels.txt"
        labels.write_text("../../etc\n...\nCON\n")
        self.draw(one="Red", two="Blue", three="Green")
        self.assert_succeeded(self.run_guess_dir(f"--labels={labels}", "--by_folder"))
        self.assertCountEqual(
            [n.split("/")[0] for n in self.sorted_files()], ["_.._etc", "unnamed", "CON_"]
        )

    def test_images_can_be_sorted_within_their_folder(self):
        self.draw(one="Red", two="Blue")
        self.target = self.source
        self.assert_one_line_error(
            self.run_guess_dir(), "is also the folder of the images", "--by_folder"
        )
        self.assert_one_line_error(
            self.run_guess_dir("--recursive", "--by_folder"),
            "--recursive would sort the same images again",
        )
        self.assert_succeeded(self.run_guess_dir("--move", "--by_folder"))
        self.assertEqual(self.sorted_files(), ["blue/two.jpg", "red/one.jpg"])

    def test_source_and_target_can_contain_each_other(self):
        self.draw(one="Red")
        self.target = self.source / "sorted"
        for count in (1, 2):
            self.assert_succeeded(self.run_guess_dir("--recursive"))
            self.assertLen(self.sorted_files(), count)
        self.draw(two="Blue")
        self.target, self.source = self.source, self.source / "sorted"
        self.assert_succeeded(self.run_guess_dir("--by_folder"))
        self.assertLen([name for name in self.sorted_files() if name.startswith("red/")], 2)

    @parameterized.parameters("copy", "move")
    def test_a_killed_run_is_continued(self, operation):
        flags = ["--move"] if operation == "move" else []
        self.draw_many(300)
        before = _contents(self.source)
        for least in (1, 150):
            self.stop(signal.SIGKILL, least, *flags)
            self.assertLen({*_contents(self.source), *_contents(self.target)}, 300)
        done = self.run_guess_dir(*flags)
        self.assert_succeeded(done)
        self.assertRegex(done.stderr, r"Continuing an interrupted run after \d+ of 300 images\n")
        self.assertEqual(_contents(self.target), before)
        self.assertEqual(_contents(self.source), Counter() if flags else before)
        self.assertRegex(done.stdout, r"(?m)^total +300$")

    def test_an_interrupted_run_can_be_undone(self):
        self.draw_many(300)
        before = _contents(self.source)
        status, error = self.stop(signal.SIGINT, 1, "--move")
        self.assertEqual(status, 130)
        self.assertRegex(
            error.splitlines()[-1],
            r"^Error: interrupted; \d+ of 300 images are done: run the same command again to "
            rf"continue, or restore the images with --undo={self.journal}$",
        )
        other = self.run_guess_dir("--by_folder")
        self.assert_one_line_error(
            other, "an interrupted run with a different --by_folder and --move/--link"
        )
        self.assert_succeeded(self.undo(self.journal))
        self.assertEqual(_contents(self.source), before)
        self.assertFalse(self.target.exists())

    def stop(self, signal_: int, least: int, *flags: str) -> tuple[int, str]:
        """Starts the program and sends it a signal when it has transferred `least` images."""
        arguments = (f"--graph={self.graph}", *flags, "--", self.source, self.target)
        process = subprocess.Popen(
            programs.command("guess_dir", *arguments),
            env=programs.environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + 60
        while sum(1 for _ in self.target.glob("*.jpg")) < least and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal_)
        _, error = process.communicate()
        return process.returncode, error

    def test_a_run_stopped_by_a_full_disk_is_continued(self):
        import resource

        self.draw_many(3)
        image = (self.drawn / "Red/0.jpg").read_bytes()
        (self.source / "0001.jpg").write_bytes(image + bytes(60_000))
        done = self.run_guess_dir(
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        )
        self.assert_one_line_error(
            done,
            f"{self.target} cannot be written: File too large; 0 of 3",
            "solve the problem and run",
        )
        self.assertContainsSubset(set(_contents(self.target)), set(_contents(self.source)))
        self.assert_succeeded(self.run_guess_dir())
        self.assertEqual(_contents(self.target), _contents(self.source))

    def test_an_image_that_cannot_be_removed_is_not_duplicated(self):
        self.draw(one="Red")
        (self.source / "locked").mkdir()
        (self.source / "one.jpg").rename(self.source / "locked" / "one.jpg")
        self.draw(two="Blue")
        (self.source / "locked").chmod(0o555)
        done = self.run_guess_dir(
            "--move", "--recursive", "--by_folder", preexec_fn=privileges.drop
        )
        self.assertEqual(done.returncode, 1)
        self.assertIn(
            "one.jpg was not moved: it cannot be removed from its folder: Permission", done.stderr
        )
        self.assertEqual(self.sorted_files(), ["blue/two.jpg"])
        done = self.run_guess_dir(
            "--move", preexec_fn=lambda: (self.source.chmod(0o555), privileges.drop())
        )
        self.assert_one_line_error(done, f"--move cannot move images out of {self.source}")

    def test_labels_that_do_not_fit_the_classifier_leave_no_files(self):
        self.draw(one="Red")
        labels = self.folder / "labels.txt"
        labels.write_text("a\nb\n")
        self.assert_one_line_error(self.run_guess_dir(f"--labels={labels}"), "labels: 2 and 3")
        self.assertFalse(self.target.exists())

    def test_an_unwritable_target_is_refused(self):
        self.draw(one="Red")
        self.folder.joinpath("locked").mkdir(mode=0o555)
        self.target = self.folder / "locked"
        done = self.run_guess_dir(preexec_fn=privileges.drop)
        self.assert_one_line_error(done, f"{self.target}", "Permission denied")
        self.target = self.folder / "locked" / "new"
        done = self.run_guess_dir(preexec_fn=privileges.drop)
        self.assert_one_line_error(
            done, f"the folder {self.target} cannot be created: Permission denied"
        )

    def test_folders_without_images_are_refused(self):
        self.assert_one_line_error(self.run_guess_dir(), "contains no images (jpg, ", "--recursive")
        for number in range(3):
            (self.source / f"{number}.txt").touch()
        self.assert_one_line_error(
            self.run_guess_dir("--recursive"), "contains no images", "only 3 .txt"
        )
        self.assertFalse(self.target.exists())

    def test_missing_folders_and_files_are_refused(self):
        self.source.rmdir()
        self.assert_one_line_error(self.run_guess_dir(), f"the folder {self.source} does not exist")
        self.source.touch()
        self.assert_one_line_error(
            self.run_guess_dir(), f"{self.source} is a file; choose a folder"
        )
        self.source.unlink()
        self.source.mkdir()
        self.target.touch()
        self.assert_one_line_error(
            self.run_guess_dir(), f"{self.target} is a file; choose a folder"
        )

    def test_two_runs_into_one_folder_are_refused(self):
        self.draw(one="Red")
        self.target.mkdir()
        with Journal(self.journal):
            self.assert_one_line_error(
                self.run_guess_dir(), "another guess_dir is sorting images into"
            )

    @parameterized.parameters(
        (["a"], "expected two folders", "received: a"),
        ([], "expected two folders", "received: none"),
        (["", "b"], "expected two folders", "received: '' b"),
        (["--move", "--link=hard", "a", "b"], "--move and --link=hard cannot be combined"),
        (["--link=soft", "a", "b"], "link"),
        (["--unsure_below=1.5", "a", "b"], "unsure_below"),
        (["--unsure_below=nan", "a", "b"], "--unsure_below=nan is not a number"),
        (["--unknown_below=2", "a", "b"], "--unknown_below=2"),
        (["--unknown_below=nan", "a", "b"], "--unknown_below=nan is not a number"),
        (["--undo=x.csv", "/a"], "--undo takes no folder, or SRC and DEST of the run", "/a"),
        (["--undo="], "--undo= has no value; name a file"),
        (["--undo=/no/x.csv"], "--undo=/no/x.csv cannot be read"),
        (["--results=x.txt", "/", "b"], "x.txt has no known format"),
        (["--results=/dev/null/x.csv", "/", "b"], "--results=/dev/null/x.csv cannot be written"),
        (["--graph=/no/graph", "/usr", "b"], "--graph=/no/graph cannot be read"),
    )
    def test_wrong_flags_are_refused(self, arguments, *parts):
        done = programs.run("guess_dir", *arguments, cwd=Path.cwd())
        self.assert_one_line_error(done, *parts)


def _contents(folder: Path) -> Counter:
    return Counter(path.read_bytes() for path in folder.glob("*.jpg"))


if __name__ == "__main__":
    absltest.main()

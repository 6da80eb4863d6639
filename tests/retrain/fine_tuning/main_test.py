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
_SPLIT = ("--validation_percentage=20", "--testing_percentage=20")


class FineTuningTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.images = tunable_backbone.draw_stripes(cls.folder / "pictures", count=30, noise=230)
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

    def train(self, *flags: str) -> tuple[dict, str]:
        """Returns the metrics of a run, and its log."""
        metrics = self.output / "metrics.json"
        done = programs.run("retrain", *self.command(f"--metrics_json={metrics}", *flags))
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(metrics.read_text()), done.stderr

    def test_the_backbone_that_is_better_on_the_validation_split_is_exported(self):
        keras = f"--keras_file={self.output}/classifier.keras"
        plain, _ = self.train()
        self.assertNotIn("fine_tuning", plain["training"])
        plots = self.output / "plots"
        logs = self.output / "logs"
        metrics, log = self.train(*_FLAGS, keras, f"--plots_dir={plots}", f"--summaries_dir={logs}")
        for name in ("curves", "pictures", "confusion", "fine_tuning"):
            Image.open(plots / f"{name}.png").load()
        for split in ("train", "validation"):
            (events,) = logs.glob(f"*-fine_tuning/{split}")
            scalars = EventAccumulator(str(events)).Reload().Tensors("by_epoch/cross_entropy")
            self.assertEqual([event.step for event in scalars], [1, 2])
        accuracies = re.findall(r"Fine-tuning, epoch \d of 2: train accuracy = ([\d.]+)%", log)
        self.assertLen(accuracies, 2)
        # A third is the accuracy of random guesses.
        self.assertGreater(float(accuracies[0]), 10)
        (verdict,) = re.findall(r"Fine-tuning (helps|does not clearly help) and is ", log)
        errors = [
            int(number) for number in re.findall(r", (\d+) get a wrong .* (\d+) without", log)[0]
        ]
        outcome = metrics["fine_tuning"]
        self.assertEqual(outcome["kept"], verdict == "helps")
        self.assertEqual(outcome["history"]["at"], [1, 2])
        for name, wrong in zip(("tuned", "baseline"), errors, strict=True):
            evaluation = outcome[name]
            self.assertEqual(round((1 - evaluation["accuracy"]) * evaluation["count"]), wrong)
        if verdict == "helps":
            self.assertLessEqual(*errors)
            options = metrics["training"]["fine_tuning"]
            self.assertEqual((options["epochs"], options["layers"]), (2, 12))
            self.assertFalse(options["distortions"]["flip_left_right"])
            self.assertGreater(outcome["gain"], outcome["required_gain"])
        else:
            self.assertTrue(outcome["gain"] <= outcome["required_gain"] or errors[0] > errors[1])
            self.assertEqual(metrics["training"], plain["training"])
            self.assertEqual(metrics["test"], plain["test"])
        self.assertEqual(metrics["exports"][1]["from_pixels"]["agreement"], 1)

        again, log = self.train(*_FLAGS, keras)
        self.assertNotIn("epoch", log)
        for key in ("training", "validation", "test"):
            self.assertEqual(again[key], metrics[key])

    def test_the_validation_split_chooses_the_number_of_epochs(self):
        metrics, log = self.train("--fine_tune_epochs=auto")
        epochs = re.findall(r"Fine-tuning, epoch (\d+) of (?:at most )?(\d+): ", log)
        self.assertEqual(epochs[-1][0], epochs[-1][1])
        self.assertEqual(metrics["fine_tuning"]["history"]["at"], list(range(1, len(epochs) + 1)))
        if metrics["fine_tuning"]["kept"]:
            options = metrics["training"]["fine_tuning"]
            self.assertEqual((options["epochs"], options["layers"]), ("auto", "auto"))

    @parameterized.parameters(signal.SIGINT, signal.SIGKILL)
    def test_a_stopped_run_leaves_a_checkpoint_and_no_backbone(self, number: int):
        cache = self.output / "cache"
        flags = ("--fine_tune_epochs=1000", "--fine_tune_layers=1")
        (self.output / "graph.pb").write_text("of the last run")
        process = subprocess.Popen(
            programs.command("retrain", *self.command(*flags, cache=cache)),
            env=programs.environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        log = ""
        assert process.stderr
        for line in process.stderr:
            log += line
            if "epoch 1 of 1000" in line:
                process.send_signal(number)
        status = process.wait()
        self.assertIn("epoch 1 of 1000", log)
        self.assertEqual((self.output / "graph.pb").read_text(), "of the last run")
        kept = [path.name for path in (cache / "backbones").iterdir() if path.name[0] != "."]
        self.assertEmpty(kept)
        if number == signal.SIGINT:
            self.assertEqual(status, 128 + number, log)
            self.assertIn("interrupted", log.splitlines()[-1])
            self.assertEmpty(list((cache / "backbones").iterdir()))
        (unfinished,) = (cache / "fine_tuning").glob("[!.]*")
        self.assertGreater(unfinished.stat().st_size, 0)

    @parameterized.parameters(
        (("--fine_tune_epochs=-1",), ("--fine_tune_epochs", "-1")),
        (("--fine_tune_epochs=many",), ("--fine_tune_epochs", "many")),
        (("--fine_tune_epochs=1001",), ("--fine_tune_epochs=1001", "auto", "from 0 to 1000")),
        (("--fine_tune_epochs=2.5",), ("--fine_tune_epochs=2.5", "auto")),
        (("--fine_tune_epochs=auto", "--fine_tune_layers=most"), ("--fine_tune_layers=most",)),
        (("--fine_tune_layers=auto",), ("--fine_tune_layers=auto", "--fine_tune_epochs")),
        (
            ("--fine_tune_epochs=auto", "--intermediate_store_frequency=10"),
            ("--intermediate_store_frequency=10", "--fine_tune_epochs=auto"),
        ),
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
    def test_invalid_flags_are_refused_in_one_line(
        self, flags: tuple[str, ...], parts: tuple[str, ...]
    ):
        (self.output / "graph.pb").write_text("of the last run")
        flags = tuple(flag.format(module=self.module) for flag in flags)
        done = programs.run("retrain", *self.command(*flags))
        self.assertEqual(done.returncode, 1, done.stderr)
        (line,) = (line for line in done.stderr.splitlines() if line.startswith("Error: "))
        for text in parts:
            self.assertIn(text, line)
        self.assertNotIn("Traceback", done.stderr)
        self.assertEqual((self.output / "graph.pb").read_text(), "of the last run")


if __name__ == "__main__":
    absltest.main()

"""A run draws its metrics and images to files, if a folder is given, and for TensorBoard."""

import dataclasses
import hashlib
import io
import re
import shutil
import tempfile
from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from retrain.backbones import efficientnet_lite0
from retrain.bottlenecks.features import Bottlenecks, SplitFeatures
from retrain.config import SplitOptions, TrainingConfig
from retrain.data import distortions, pixels, splits
from retrain.data.dataset import Dataset, ImageFile
from retrain.data.splits import TEST, TRAINING
from retrain.export.formats import WrittenFile
from retrain.fine_tuning.paired_gain import PairedGain
from retrain.fine_tuning.result import FineTuningResult
from retrain.output_options import OutputOptions
from retrain.report import run_plots
from retrain.report.finished_training import FinishedTraining
from retrain.runtimes.head import Head
from retrain.system.outputs.staging import Staging
from retrain.system.phase_timer import PhaseTimer
from retrain.training.evaluation import evaluate
from retrain.training.history import MetricSeries, TrainingHistory
from retrain.training.results import HeadResult, Results
from retrain.training_options import DistortionOptions, FineTuningOptions
from tests.support import privileges, programs

_SIDE = 112
_LABELS = ("blue", "green", "red")


class StagePlotsTest(absltest.TestCase):
    """Draws the results of a training that did not take place."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.backbone = dataclasses.replace(efficientnet_lite0.load(), height=_SIDE, width=_SIDE)

    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        programs.draw_colours(self.folder / "pictures", 4)
        paths = sorted((self.folder / "pictures").glob("*/*"))
        self.images = tuple(
            ImageFile(path, number // 4, TRAINING, 50.0) for number, path in enumerate(paths)
        )

    def result(self, **changes) -> HeadResult:
        training = SplitFeatures(
            self.images,
            np.zeros((len(self.images), 1, 2), np.float16),
            np.array([image.class_id for image in self.images]),
        )
        nothing = SplitFeatures((), np.zeros((0, 1, 2), np.float16), np.zeros(0, np.int64))
        dataset = Dataset(
            self.folder,
            _LABELS,
            _LABELS,
            self.images,
            splits.SplitPercentages.from_options(SplitOptions()),
        )
        series = MetricSeries((0.5, 0.75, 0.7), (1.0, 0.5, 0.8))
        changes.setdefault("history", TrainingHistory((0.01, 0.1, 1), series, series, 0.1))
        right = np.eye(3, dtype=np.float32)
        return HeadResult(
            Bottlenecks(dataset, "float32", {TRAINING: training, TEST: nothing}, 0, {}),
            Head(np.zeros((2, 3), np.float32), np.zeros(3, np.float32)),
            nothing,
            {TEST: evaluate(right, np.array([0, 1, 1]))},
            **changes,
        )

    def config(self, plots: bool = True, **distorted) -> TrainingConfig:
        output = OutputOptions(plots_dir=self.folder / "plots" if plots else None)
        return TrainingConfig(
            self.folder / "pictures",
            bottleneck_dir=Path("/cache"),
            output=output,
            distortions=DistortionOptions(**distorted),
        )

    def drawn(self, name: str = "pictures") -> np.ndarray:
        return np.asarray(Image.open(self.folder / "plots" / f"{name}.png").convert("RGB"))

    def stage(self, config: TrainingConfig, fine_tuning=None, **changes) -> list[WrittenFile]:
        with Staging() as staging:
            training = FinishedTraining(
                config=config,
                backbone=self.backbone,
                results=Results(self.result(**changes)),
                fine_tuning=fine_tuning,
                timer=PhaseTimer(),
            )
            return run_plots.stage_plots(staging, training)

    def draw(self, config: TrainingConfig, **changes) -> list[str]:
        written = self.stage(config, **changes)
        self.assertEqual(
            [file.path.parent for file in written], [self.folder / "plots"] * len(written)
        )
        return [file.path.name for file in written]

    def assert_shows(self, plot: np.ndarray, cell: np.ndarray) -> None:
        height, width, _ = cell.shape
        corners = np.argwhere((plot == cell[0, 0]).all(axis=2))
        found = any(
            np.array_equal(plot[row : row + height, column : column + width], cell)
            for row, column in corners
        )
        self.assertTrue(found)

    def test_each_image_is_shown_pixel_by_pixel(self):
        self.assertEqual(self.draw(self.config()), ["pictures.png", "curves.png", "confusion.png"])
        for image in self.images:
            self.assert_shows(self.drawn(), pixels.decode(image.path.read_bytes(), _SIDE, _SIDE))

    def test_variants_are_those_of_the_training(self):
        config = self.config(random_crop=30, random_brightness=50, per_image=1, seed=3)
        self.draw(config)
        for image in self.images:
            data = image.path.read_bytes()
            digest = hashlib.sha256(data).digest()
            for variant in distortions.decode_variants(
                data, range(2), config.distortions, digest=digest, height=_SIDE, width=_SIDE
            ):
                self.assert_shows(self.drawn(), variant)

    def test_fine_tuning_shows_the_images_that_it_trains_on(self):
        config = self.config()
        self.draw(dataclasses.replace(config, fine_tuning=FineTuningOptions(epochs=1)))
        fresh = dataclasses.replace(FineTuningOptions().distortions, per_image=0)
        for image in self.images:
            data = image.path.read_bytes()
            digest = hashlib.sha256(data).digest()
            (variant,) = distortions.decode_variants(
                data, [1], fresh, digest=digest, height=_SIDE, width=_SIDE
            )
            self.assert_shows(self.drawn(), variant)

    def test_fine_tuning_is_drawn_even_if_it_was_discarded(self):
        series = MetricSeries((0.5, 0.75, 0.7), (1.0, 0.5, 0.8))
        right = evaluate(np.eye(3, dtype=np.float32), np.array([0, 1, 1]))
        for kept in (True, False):
            history = TrainingHistory((1, 2, 3), series, series)
            gain = PairedGain(0.1, 0.05, 0.09)
            outcome = FineTuningResult(kept, history, right, right, gain, 1.0, 1.0)
            written = self.stage(self.config(), outcome)
            (plot,) = (file for file in written if file.path.name == "fine_tuning.png")
            self.assertEqual("discarded" in plot.description, not kept)
            self.assertGreater(self.drawn("fine_tuning").std(), 0)

    def test_images_that_are_gone_are_left_out(self):
        self.images[0].path.unlink()
        self.images[1].path.write_bytes(b"no image any more")
        self.draw(self.config())
        whole = self.images[2].path.read_bytes()
        self.assert_shows(self.drawn(), pixels.decode(whole, _SIDE, _SIDE))
        for image in self.images:
            image.path.unlink(missing_ok=True)
        self.assertEqual(self.draw(self.config()), ["curves.png", "confusion.png"])

    def test_curves_without_validation_images(self):
        self.draw(self.config())
        with_validation = self.drawn("curves")
        self.draw(
            self.config(), history=TrainingHistory((0, 10), MetricSeries((0.5, 1), (1, 0)), None)
        )
        self.assertFalse(np.array_equal(self.drawn("curves"), with_validation))

    def test_nothing_is_drawn_without_a_folder_or_summaries(self):
        self.assertEqual(self.draw(self.config(plots=False)), [])
        self.assertFalse((self.folder / "plots").exists())

    def test_tensorboard_gets_the_images_only_if_there_is_no_folder(self):
        self.draw(self.config(plots=False), summaries=self.folder / "logs")
        self.assertEqual(list(_shown(self.folder / "logs")), ["pictures"])
        self.draw(self.config(), summaries=self.folder / "more")
        shown = _shown(self.folder / "more")
        self.assertEqual(set(shown), {"pictures", "curves", "confusion"})
        for name, png in shown.items():
            self.assertEqual(png, (self.folder / "plots" / f"{name}.png").read_bytes())


def _shown(run: Path) -> dict[str, bytes]:
    """Returns the images that TensorBoard finds, by their names."""
    events = EventAccumulator(str(run / "drawings")).Reload()
    return {name: events.Images(name)[0].encoded_image_string for name in events.Tags()["images"]}


class RunPlotsMainTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.images = programs.draw_colours(cls.folder / "pictures", 12)

    def train(self, out: Path, *flags: object, **options):
        return programs.run(
            "retrain",
            f"--image_dir={self.images}",
            f"--output_graph={out}/graph.pb",
            f"--output_labels={out}/labels.txt",
            f"--bottleneck_dir={self.folder}/cache",
            f"--summaries_dir={out}/logs",
            *flags,
            **options,
        )

    def new_folder(self) -> Path:
        return Path(self.create_tempdir().full_path)

    def test_files_are_written_and_listed_and_shown_in_tensorboard(self):
        out = self.new_folder()
        done = self.train(out, f"--plots_dir={out}/new/plots")
        self.assertEqual(done.returncode, 0, done.stderr)
        names = ["confusion.png", "curves.png", "pictures.png"]
        self.assertEqual(sorted(p.name for p in (out / "new/plots").iterdir()), names)
        for name in names:
            self.assertIn(f"{out}/new/plots/{name} ", done.stdout)
            Image.open(out / "new/plots" / name).load()
        (run,) = (out / "logs").iterdir()
        self.assertLen(_shown(run), 3)
        for split in ("train", "validation"):
            scalars = EventAccumulator(str(run / split)).Reload().Tensors("by_strength/accuracy")
            self.assertEqual([event.step for event in scalars], [1, 2, 3, 4, 5])

    def test_matplotlib_is_not_imported_by_default(self):
        out = self.new_folder()
        done = self.train(out, env=programs.environment(PYTHONPROFILEIMPORTTIME="1"))
        self.assertEqual(done.returncode, 0, done.stderr)
        loaded = set(re.findall(r"\| +([\w.]+)$", done.stderr, re.MULTILINE))
        self.assertIn("retrain.report.run_plots", loaded)
        self.assertNotIn("matplotlib", loaded)
        (run,) = (out / "logs").iterdir()
        ((name, png),) = _shown(run).items()
        self.assertEqual(name, "pictures")
        Image.open(io.BytesIO(png)).load()

    def test_each_of_two_heads_gets_its_plots(self):
        out = self.new_folder()
        done = self.train(
            out, f"--plots_dir={out}", "--engine=int8", "--how_many_training_steps=50"
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        names = ["confusion.png", "confusion_int8.png", "curves.png", "curves_int8.png"]
        self.assertEqual(sorted(p.name for p in out.glob("*.png")), [*names, "pictures.png"])
        self.assertNotEqual(
            *(out.joinpath(f"curves{end}.png").read_bytes() for end in ("", "_int8"))
        )

    @parameterized.parameters(
        ("{f}/file", "it is not a folder"),
        ("{f}/file/plots", "it is not a folder"),
        ("{p}", "is inside --image_dir={p}"),
        ("{p}/plots", "is inside --image_dir={p}"),
        ("{f}/validation/plots", "is inside --validation_dir={f}/validation"),
        ("{f}/saved", "is inside --saved_model_dir={f}/saved"),
        ("{f}/locked/plots", "Permission denied"),
        ("{f}/old", "curves.png is a folder"),
    )
    def test_an_unusable_folder_is_refused_before_training(self, where: str, expected: str):
        out = self.new_folder()
        names = {"f": out, "p": self.images}
        (out / "file").write_text("mine")
        shutil.copytree(self.images, out / "validation")
        out.joinpath("locked").mkdir(mode=0o500)
        out.joinpath("old", "curves.png").mkdir(parents=True)
        out.chmod(0o777)
        done = self.train(
            out,
            f"--plots_dir={where.format(**names)}",
            f"--validation_dir={out}/validation",
            f"--saved_model_dir={out}/saved",
            preexec_fn=privileges.drop if "locked" in where else None,
        )
        self.assertEqual(done.returncode, 1, done.stderr)
        (line,) = done.stderr.splitlines()
        self.assertStartsWith(line, f"Error: --plots_dir={where.format(**names)}")
        self.assertIn(expected.format(**names), line)
        self.assertEqual((out / "file").read_text(), "mine")
        self.assertFalse((out / "graph.pb").exists())


if __name__ == "__main__":
    absltest.main()

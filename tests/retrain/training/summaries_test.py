"""TensorBoard reads what is written, and no run touches the summaries of another."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from absl.testing import absltest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

from retrain.errors import UserError
from retrain.report import image_grid
from retrain.runtimes.head import Head
from retrain.training.history import MetricSeries, TrainingHistory
from retrain.training.step_metrics import StepMetrics
from retrain.training.summaries import RunSummaries, add_plots

_TAGS = ["accuracy", "cross_entropy", "final_layer/biases", "final_layer/weights"]

_WRITE_AND_LIST_MODULES = """
import sys
from pathlib import Path
import numpy as np
from retrain.runtimes.head import Head
from retrain.training.step_metrics import StepMetrics
from retrain.training.summaries import RunSummaries

head = Head(np.ones((4, 2), np.float32), np.zeros(2, np.float32))
with RunSummaries(Path(sys.argv[1])) as summaries:
    summaries.add(StepMetrics(0, 0.5, 0.5, 0.5, 0.5, head))
print(*sys.modules)
"""


def metrics_of(step: int, validation: bool = True) -> StepMetrics:
    weights = np.linspace(-step, step, 60, dtype=np.float32).reshape(20, 3)
    return StepMetrics(
        step=step,
        train_accuracy=0.5 + step / 100,
        train_cross_entropy=2.0 - step / 100,
        validation_accuracy=0.25 + step / 100 if validation else None,
        validation_cross_entropy=3.0 - step / 100 if validation else None,
        head=Head(weights, np.array([step, step + 1, step + 2], np.float32)),
    )


def read(folder: Path) -> dict[str, dict[int, np.ndarray]]:
    """Returns the values that TensorBoard reads, by tag and step."""
    accumulator = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    accumulator.Reload()
    return {
        tag: {e.step: tensor_util.make_ndarray(e.tensor_proto) for e in accumulator.Tensors(tag)}
        for tag in accumulator.Tags()["tensors"]
    }


class SummariesTestCase(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path, "logs", "retrain")


class ContentTest(SummariesTestCase):
    def test_scalars_are_read_back_by_run_and_step(self):
        with RunSummaries(self.folder) as summaries:
            for step in (0, 10, 12):
                summaries.add(metrics_of(step))
        for run, accuracy, cross_entropy in (("train", 0.5, 2.0), ("validation", 0.25, 3.0)):
            found = read(summaries.folder / run)
            self.assertEqual(sorted(found), _TAGS)
            self.assertEqual(list(found["accuracy"]), [0, 10, 12])
            self.assertAlmostEqual(found["accuracy"][10].item(), accuracy + 0.1, places=6)
            self.assertAlmostEqual(found["cross_entropy"][10].item(), cross_entropy - 0.1, places=6)

    def test_histograms_are_read_back(self):
        with RunSummaries(self.folder) as summaries:
            summaries.add(metrics_of(3))
        for run in ("train", "validation"):
            found = read(summaries.folder / run)
            weights, biases = (found[f"final_layer/{part}"][3] for part in ("weights", "biases"))
            # Each row is a bucket: its two ends and its count.
            self.assertEqual((weights[0, 0], weights[-1, 1]), (-3, 3))
            self.assertEqual(weights[:, 2].sum(), 60)
            self.assertEqual((biases[0, 0], biases[-1, 1]), (3, 5))
            self.assertEqual(biases[:, 2].sum(), 3)

    def test_without_validation_images_there_is_no_validation_run(self):
        with RunSummaries(self.folder) as summaries:
            summaries.add(metrics_of(0, validation=False))
        self.assertEqual([path.name for path in summaries.folder.iterdir()], ["train"])
        self.assertEqual(sorted(read(summaries.folder / "train")), _TAGS)

    def test_a_history_is_written_as_steps_from_one(self):
        series = [MetricSeries((0.5, 0.6), (2.0, 1.0)), MetricSeries((0.25, 0.5), (3.0, 2.0))]
        with RunSummaries(self.folder) as summaries:
            summaries.add_history(TrainingHistory((0.1, 1), *series, selected=1), "by_strength")
        for run, run_series in zip(("train", "validation"), series, strict=True):
            found = read(summaries.folder / run)
            self.assertEqual(sorted(found), ["by_strength/accuracy", "by_strength/cross_entropy"])
            for tag, numbers in zip(sorted(found), run_series, strict=True):
                self.assertEqual(list(found[tag]), [1, 2])
                np.testing.assert_allclose(list(found[tag].values()), numbers)
        with RunSummaries(self.folder) as summaries:
            summaries.add_history(
                TrainingHistory((0.1, 1), series[0], None, selected=1), "by_strength"
            )
        self.assertEqual([path.name for path in summaries.folder.iterdir()], ["train"])

    def test_plots_are_written_without_changes(self):
        images = {
            name: image_grid.draw_grid(np.full((1, 9, 9, 3), grey), [name])
            for name, grey in (("dark", 10), ("light", 240))
        }
        place = self.folder / "run" / "plots"
        add_plots(place, images)
        add_plots(place, {"later": images["dark"]}, step=3)
        accumulator = EventAccumulator(str(place)).Reload()
        self.assertEqual(sorted(accumulator.Tags()["images"]), ["dark", "later", "light"])
        for name, png in images.items():
            (event,) = accumulator.Images(name)
            self.assertEqual((event.step, event.encoded_image_string), (0, png))
        self.assertEqual([event.step for event in accumulator.Images("later")], [3])

    def test_everything_is_on_disk_after_an_exception(self):
        with self.assertRaises(KeyboardInterrupt), RunSummaries(self.folder) as summaries:
            for step in range(5):
                summaries.add(metrics_of(step))
            raise KeyboardInterrupt
        for run in ("train", "validation"):
            self.assertLen(read(summaries.folder / run)["accuracy"], 5)

    def test_tensorboard_can_follow_a_run(self):
        with RunSummaries(self.folder) as summaries:
            summaries.add(metrics_of(0))
            (file,) = (summaries.folder / "train").iterdir()
            self.assertIn("tfevents", file.name)
            self.assertGreater(file.stat().st_size, 0)


class FolderTest(SummariesTestCase):
    def test_each_run_writes_to_a_folder_of_its_own(self):
        with RunSummaries(self.folder) as first:
            first.add(metrics_of(1))
        with RunSummaries(self.folder) as second:
            second.add(metrics_of(2))
        self.assertEqual(first.folder.parent, self.folder)
        self.assertNotEqual(first.folder, second.folder)
        self.assertEqual(list(read(first.folder / "train")["accuracy"]), [1])
        self.assertEqual(list(read(second.folder / "train")["accuracy"]), [2])

    def test_runs_that_start_at_the_same_time_get_different_folders(self):
        with ThreadPoolExecutor(8) as pool:
            runs = list(pool.map(RunSummaries, [self.folder] * 40))
        self.assertLen({run.folder for run in runs}, 40)

    def test_the_folder_is_named_after_the_time(self):
        names = {RunSummaries(self.folder).folder.name for _ in range(3)}
        for name in names:
            self.assertRegex(name, r"^\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(-\d+)?$")
        named = {RunSummaries(self.folder, name="int8").folder.name for _ in range(2)}
        self.assertLen(named, 2)
        for name in named:
            self.assertRegex(name, r"^\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-int8(-\d+)?$")


class CannotWriteTest(SummariesTestCase):
    def test_a_file_in_place_of_the_folder_is_a_user_error(self):
        self.folder.parent.mkdir()
        self.folder.write_text("mine")
        with self.assertRaisesRegex(UserError, f"--summaries_dir={self.folder} cannot be written"):
            RunSummaries(self.folder)
        self.assertEqual(self.folder.read_text(), "mine")

    def test_a_file_in_place_of_the_plots_folder_is_a_user_error(self):
        self.folder.parent.mkdir()
        self.folder.write_text("mine")
        with self.assertRaisesRegex(
            UserError, f"{self.folder} cannot be written: File exists; free .*--summaries_dir"
        ):
            add_plots(self.folder, {})
        self.assertEqual(self.folder.read_text(), "mine")

    def test_a_deleted_folder_is_a_user_error(self):
        with self.assertRaisesRegex(UserError, "No such file"), RunSummaries(self.folder) as run:
            run.folder.rmdir()
            run.add(metrics_of(0))

    def limit_file_size(self, size: int) -> None:
        import resource  # Windows does not have it.

        # The kernel refuses to let files grow further, as it does on a full disk.
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_FSIZE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))

    def test_a_full_disk_is_a_user_error(self):
        full = self.assertRaisesRegex(UserError, "File too large; free some space")
        with full, RunSummaries(self.folder) as summaries:
            self.limit_file_size(2000)
            for step in range(100):
                summaries.add(metrics_of(step))

    def test_a_disk_that_is_full_at_the_end_is_a_user_error(self):
        full = self.assertRaisesRegex(UserError, "File too large; free some space")
        with full, RunSummaries(self.folder) as summaries:
            summaries.add(metrics_of(0))
            self.limit_file_size(100)

    def test_a_full_disk_does_not_hide_an_error_of_the_training(self):
        with self.assertRaisesRegex(ValueError, "mine"), RunSummaries(self.folder) as summaries:
            summaries.add(metrics_of(0))
            self.limit_file_size(100)
            raise ValueError("mine")


class ImportTest(SummariesTestCase):
    def test_does_not_load_tensorflow(self):
        modules = subprocess.check_output(
            [sys.executable, "-c", _WRITE_AND_LIST_MODULES, self.folder],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            text=True,
        ).split()
        self.assertIn("tensorboard", modules)
        self.assertNoCommonElements(["tensorflow", "keras"], modules)


if __name__ == "__main__":
    absltest.main()

"""Outputs that cannot be written are refused before the training, and bad classifiers after it."""

import dataclasses
import os
import shutil
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from absl.testing import absltest

from retrain.backbones import efficientnet_lite0
from retrain.bottlenecks.features import SplitFeatures
from retrain.config import BackboneOptions, TrainingConfig
from retrain.data.splits import TEST
from retrain.errors import UserError
from retrain.export import output_checks
from retrain.output_options import OutputOptions, TFLiteOptions
from retrain.training.evaluation import evaluate
from retrain.training.results import HeadResult, Results

_NONE = SplitFeatures((), np.zeros((0, 1, 2), np.float16), np.zeros(0, np.int64))


class _OutputChecksTestCase(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)

    def options(self, **changes: Any) -> OutputOptions:
        return OutputOptions(
            output_graph=self.folder / "g.pb",
            output_labels=self.folder / "l.txt",
            summaries_dir=None,
            **changes,
        )

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


class CheckTest(_OutputChecksTestCase):
    def check(
        self,
        options: OutputOptions,
        backbone=None,
        *,
        model_dir: Path | None = None,
        **changes: Any,
    ) -> None:
        folders = {"bottleneck_dir": Path("/cache"), **changes}
        config = TrainingConfig(
            Path("/images"),
            output=options,
            backbone=BackboneOptions(model_dir=model_dir),
            **folders,
        )
        output_checks.check(config, backbone or efficientnet_lite0.load())

    def assert_refused(self, message: str, **changes: Any) -> None:
        with self.assertRaisesRegex(UserError, message):
            self.check(self.options(**changes))

    def test_the_check_creates_nothing(self):
        options = self.options(
            saved_model_dir=self.folder / "a" / "saved",
            keras_file=self.folder / "k.keras",
            tflite_file=self.folder / "t.tflite",
        )
        self.check(options)
        self.assertEqual(self.names(), [])

    def test_a_folder_in_place_of_a_file_is_refused(self):
        self.assert_refused(f"--tflite_file={self.folder} is a folder", tflite_file=self.folder)
        folder = self.folder / "k.keras"
        folder.mkdir()
        self.assert_refused(f"--keras_file={folder} is a folder", keras_file=folder)

    def test_a_folder_with_other_files_is_not_replaced(self):
        (self.folder / "holidays.jpg").touch()
        self.assert_refused(f"--saved_model_dir={self.folder} ", saved_model_dir=self.folder)

    def test_a_keras_file_needs_its_suffix(self):
        self.assert_refused("must end in .keras", keras_file=self.folder / "model.h5")

    def test_an_unknown_quantization_is_refused(self):
        self.assert_refused(
            "--tflite_quantization=int2",
            tflite_file=self.folder / "t",
            tflite=TFLiteOptions("int2"),
        )

    def test_a_network_that_tflite_does_not_support_is_refused(self):
        backbone = dataclasses.replace(efficientnet_lite0.load(), tflite_file=None)
        with self.assertRaisesRegex(
            UserError, "efficientnet_lite0 has operations that TFLite does not support"
        ):
            self.check(self.options(tflite_file=self.folder / "t"), backbone)

    def test_two_flags_with_the_same_path_are_refused(self):
        path = self.folder / "g.pb"
        self.assert_refused(f"--output_graph and --tflite_file are both {path}", tflite_file=path)
        self.assert_refused(
            "--output_labels and --metrics_json", metrics_json=self.folder / "l.txt"
        )
        table = self.folder / "table.csv"
        self.assert_refused(
            f"--report and --predictions are both {table}", report=table, predictions=table
        )

    def test_a_report_cannot_replace_a_folder(self):
        for flag in ("report", "predictions"):
            self.assert_refused(f"--{flag}={self.folder} is a folder", **{flag: self.folder})

    def test_an_image_is_not_replaced(self):
        path = self.folder / "photo.JPG"
        path.write_bytes(b"image")
        self.assert_refused("photo.JPG is an image", tflite_file=path)

    def test_two_paths_that_lead_to_the_same_file_are_refused(self):
        (self.folder / "link").symlink_to(self.folder)
        path = self.folder / "link" / "g.pb"
        self.assert_refused(f"--output_graph and --tflite_file are both {path}", tflite_file=path)

    def test_the_network_that_the_run_reads_is_not_replaced(self):
        other, graph = self.folder / "other.pb", self.folder / "g.pb"
        other.touch()
        self.check(self.options(), model_dir=self.folder)
        other.rename(graph)
        link = Path(self.create_tempdir().full_path, "link.pb")
        link.symlink_to(graph)
        for model_dir in (graph, self.folder, link):
            with self.assertRaisesRegex(
                UserError, f"^--output_graph={graph} would replace the network of --model_dir, "
            ):
                self.check(self.options(), model_dir=model_dir)

    def test_a_disk_without_enough_space_for_all_files_is_found_before_the_run(self):
        usage = shutil.disk_usage(self.folder)
        self.enter_context(
            mock.patch("shutil.disk_usage", return_value=usage._replace(free=20_000_000))
        )
        self.check(self.options())
        saved = self.folder / "1"
        self.assert_refused(
            f"--output_graph={self.folder}/g.pb and 1 other outputs cannot be written: about "
            "2[0-9.]* MB are needed, but only 20.0 MB are free; free some space",
            saved_model_dir=saved,
        )

    def test_names_that_libraries_cannot_write_are_refused(self):
        folder = self.folder / os.fsdecode(b"caf\xe9")
        for changes in (
            {"saved_model_dir": folder / "1"},
            {"coreml_file": folder / "C.mlpackage"},
            {"coreml_file": folder / "C.mlmodel"},
        ):
            self.assert_refused("^--.*/caf.* its name is not in UTF-8; choose another", **changes)
        self.check(self.options(keras_file=folder / "k.keras", tflite_file=folder / "t.tflite"))

    def test_a_path_inside_a_folder_that_is_replaced_is_refused(self):
        saved, package = self.folder / "saved", self.folder / "c.mlpackage"
        for folder, changes in (
            (saved, {"saved_model_dir": saved}),
            (package, {"coreml_file": package}),
        ):
            inside = folder / "a" / "file"
            self.assert_refused(
                f"--metrics_json={inside} is inside .*={folder}, ", metrics_json=inside, **changes
            )
            options = dataclasses.replace(self.options(**changes), summaries_dir=folder)
            with self.assertRaisesRegex(UserError, f"--summaries_dir={folder} is inside"):
                self.check(options)
            with self.assertRaisesRegex(UserError, f"--bottleneck_dir={inside} is inside"):
                self.check(self.options(**changes), bottleneck_dir=inside)
        self.assert_refused(
            f"--coreml_file={saved}/c.mlpackage is inside --saved_model_dir={saved}",
            saved_model_dir=saved,
            coreml_file=saved / "c.mlpackage",
        )

    def test_a_path_inside_a_path_for_a_file_is_refused(self):
        graph = self.folder / "g.pb"
        inside = graph / "metrics.json"
        self.assert_refused(
            f"^--metrics_json={inside} is inside --output_graph={graph}, a file; choose a path",
            metrics_json=inside,
        )
        options = dataclasses.replace(self.options(), summaries_dir=graph)
        with self.assertRaisesRegex(UserError, f"--summaries_dir={graph} is inside"):
            self.check(options)

    def test_a_path_that_leads_into_a_folder_through_a_link_is_refused(self):
        saved, link = self.folder / "saved", self.folder / "link"
        saved.mkdir()
        link.symlink_to(saved)
        self.assert_refused(
            f"--metrics_json={link}/m.json is inside --saved_model_dir={saved}",
            saved_model_dir=saved,
            metrics_json=link / "m.json",
        )


class AccuracyTest(_OutputChecksTestCase):
    def result(self, right, count):
        scores = np.eye(2, dtype=np.float32)[[0] * right + [1] * (count - right)]
        evaluation = evaluate(scores.reshape(-1, 2), np.zeros(count, np.int64))
        return HeadResult(None, None, _NONE, {TEST: evaluation})

    def test_a_sufficient_accuracy_passes(self):
        options = self.options(assert_accuracy_at_least=0.9)
        output_checks.require_accuracy(Results(self.result(9, 10)), options)
        output_checks.require_accuracy(Results(self.result(0, 0)), self.options())

    def test_an_insufficient_accuracy_is_refused(self):
        options = self.options(assert_accuracy_at_least=0.9)
        message = "0.8000 on 10 test images, less than --assert_accuracy_at_least=0.9"
        with self.assertRaisesRegex(UserError, message):
            output_checks.require_accuracy(Results(self.result(8, 10)), options)

    def test_an_unknown_accuracy_is_refused(self):
        options = self.options(assert_accuracy_at_least=0.0)
        with self.assertRaisesRegex(UserError, "no images were held out"):
            output_checks.require_accuracy(Results(self.result(0, 0)), options)

    def test_the_int8_accuracy_counts_only_if_an_int8_file_is_written(self):
        options = self.options(assert_accuracy_at_least=0.9)
        results = Results(primary=self.result(9, 10), int8=self.result(8, 10))
        output_checks.require_accuracy(results, options)
        options = dataclasses.replace(
            options, tflite_file=self.folder / "t", tflite=TFLiteOptions("int8")
        )
        with self.assertRaisesRegex(UserError, "the accuracy in int8 is 0.8000"):
            output_checks.require_accuracy(results, options)


if __name__ == "__main__":
    absltest.main()

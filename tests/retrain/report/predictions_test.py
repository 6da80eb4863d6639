"""The table of predictions has all scores of every held-out image."""

import csv
from collections import Counter
from pathlib import Path

import numpy as np
from absl.testing import absltest

from retrain.report.predictions import write_predictions
from tests.support import sample_run

_NAMES = ("cat", "score", 'a,"b"\n\udcff')


class PredictionsTest(absltest.TestCase):
    def read(self, **options) -> tuple:
        folder = Path(self.create_tempdir().full_path)
        run = sample_run.make_run(folder, _NAMES, draw_images=False, **options)
        write_predictions(folder / "p.csv", run.result)
        with (folder / "p.csv").open(
            encoding="utf-8", errors="surrogateescape", newline=""
        ) as file:
            return run, list(csv.DictReader(file))

    def test_every_image_has_a_row_of_its_fold_and_held_out_ones_of_the_exported_head(self):
        run, rows = self.read()
        by = Counter("exported" if row["by"] == "exported" else "fold" for row in rows)
        held_out = [image for image in run.dataset.images if image.split != "training"]
        self.assertEqual(by, {"fold": len(run.dataset.images), "exported": len(held_out)})
        self.assertEqual(
            {row["by"] for row in rows},
            {"exported", *(f"fold {number + 1}" for number in range(sample_run.FOLDS))},
        )
        names = {str(image.path.relative_to(run.dataset.image_dir)) for image in run.dataset.images}
        self.assertEqual({row["image"] for row in rows}, names)

    def test_scores_are_those_of_the_heads(self):
        run, rows = self.read()
        rows = [row for row in rows if row["by"] != "exported"]
        scores = np.array([[float(row[f"score_{name}"]) for name in _NAMES] for row in rows])
        np.testing.assert_allclose(scores, run.result.out_of_fold.probabilities, rtol=1e-4)
        for row in rows:
            best = max(_NAMES, key=lambda name: float(row[f"score_{name}"]))
            self.assertEqual(row["predicted_label"], best)
            self.assertEqual(row["score"], row[f"score_{best}"])
            self.assertEqual(row["is_right"], str(int(best == row["true_label"])))
            self.assertLen(row["sha256"], 64)

    def test_without_cross_validation_only_the_exported_head_predicts(self):
        _, rows = self.read(cross_validated=False)
        self.assertEqual({row["by"] for row in rows}, {"exported"})
        self.assertEqual({row["split"] for row in rows}, {"validation", "test"})


if __name__ == "__main__":
    absltest.main()

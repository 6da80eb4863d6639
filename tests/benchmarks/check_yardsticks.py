"""Runs cleanlab and cleanvision for the benchmark `check_images`, in a process of their own.

    python check_yardsticks.py labels FILE.npz
    python check_yardsticks.py copies FILE.json

Prints JSON. The packages are not part of the project's requirements; see `check_images`.
"""

import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np


def rank_labels(path: str) -> dict[str, Any]:
    """Returns what cleanlab says about labels, on the features in `path`.

    Datalab is not used: it did not run with the versions of its packages that were current.
    """
    from cleanlab.classification import CleanLearning
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    data = np.load(path)
    features, class_ids = data["features"].astype(np.float32), data["class_ids"]
    start = time.monotonic()
    head = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3, max_iter=300))
    probabilities = cross_val_predict(head, features, class_ids, cv=5, method="predict_proba")
    cleanlab = CleanLearning(find_label_issues_kwargs={"n_jobs": 1})
    issues = cleanlab.find_label_issues(labels=class_ids, pred_probs=probabilities)
    return {
        "scores": issues["label_quality"].tolist(),
        "flagged": issues["is_label_issue"].tolist(),
        "seconds": time.monotonic() - start,
    }


def find_copies(path: str) -> dict[str, Any]:
    """Returns the groups of near-duplicates that cleanvision finds among the files in `path`."""
    from cleanvision import Imagelab

    files = json.loads(Path(path).read_text("utf-8"))
    start = time.monotonic()
    lab = Imagelab(filepaths=files)
    lab.find_issues({"exact_duplicates": {}, "near_duplicates": {}}, verbose=False)
    sets = [lab.info[kind]["sets"] for kind in ("near_duplicates", "exact_duplicates")]
    groups = [list(map(str, group)) for kind in sets for group in kind]
    return {"groups": groups, "seconds": time.monotonic() - start}


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):
        result = {"labels": rank_labels, "copies": find_copies}[sys.argv[1]](sys.argv[2])
    print(json.dumps(result))

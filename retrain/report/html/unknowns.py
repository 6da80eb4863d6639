"""The section about images of none of the classes, and the least familiar images."""

import numpy as np

from retrain.data.dataset import ImageFile
from retrain.data.splits import TEST, TRAINING, VALIDATION
from retrain.report.html import thumbnails
from retrain.report.html.training_run import Section, TrainingRun
from retrain.runtimes.familiarity import UNKNOWN_BELOW

_MAX_IMAGES = 8
_SIDE = 120
_MAX_BYTES = 200_000


def describe(run: TrainingRun) -> Section | None:
    """Returns the section, or None if the classifier has no familiarity."""
    familiarity = run.result.familiarity
    if familiarity is None:
        return None
    features = run.result.features
    images: list[ImageFile] = []
    scores = []
    for split in (TRAINING, VALIDATION, TEST):
        part = features.split(split)
        images += part.images
        scores.append(familiarity.scores(part.vectors))
    all_scores = np.concatenate(scores)
    held_out = run.result.test_features
    accepted = familiarity.scores(held_out.vectors) >= UNKNOWN_BELOW
    least = [images[row] for row in np.argsort(all_scores, kind="stable")[:_MAX_IMAGES]]
    urls = thumbnails.encode_all([image.path for image in least], side=_SIDE, max_bytes=_MAX_BYTES)
    values = {
        "threshold": UNKNOWN_BELOW,
        "accepted": float(accepted.mean()) if len(accepted) else None,
        "test_count": len(accepted),
        "least": [
            {
                "name": run.name_image(image),
                "label": run.labels[image.class_id],
                "split": image.split,
                "url": urls.get(image.path),
            }
            for image in least
        ],
    }
    return Section("unknowns", "None of these", values)

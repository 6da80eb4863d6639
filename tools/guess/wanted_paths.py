"""Chooses the new path of an image from the result of the classifier."""

import logging
from pathlib import Path

from label_image.classifier import Classifier, Prediction
from retrain.system.text import one_line
from tools.guess.options import UNKNOWN, UNSURE, Options
from tools.image_folders.safe_names import distinct_safe_names, safe_name


class WantedPaths:
    """The paths that images get if no other file has them."""

    def __init__(self, options: Options, classifier: Classifier) -> None:
        """Warns if a class cannot have a folder of its name."""
        self._options = options
        reserved = {}
        if options.unsure_below:
            reserved[UNSURE] = "with low scores"
        if options.by_folder and classifier.unknown_below:
            reserved[UNKNOWN] = "of none of the classes"
        labels = dict.fromkeys(classifier.labels)
        self._class_names = distinct_safe_names(labels, reserved=reserved)
        for label, name in self._class_names.items():
            folder = safe_name(label).casefold()
            if folder in reserved:
                logging.warning(
                    "Images of the class %s are sorted as %s, since the folder %s is for images %s",
                    *(one_line(label), name, folder, reserved[folder]),
                )

    def path(self, image: str, prediction: Prediction) -> str:
        """Returns the wanted path of an image, relative to the target folder.

        Args:
            image: Path of the image relative to the source folder.
            prediction: Result of the classifier.
        """
        original = Path(image)
        if prediction.is_unknown:
            # The label of such an image means nothing, so it is not part of the path.
            return f"{UNKNOWN}/{original.name}"
        label, score = prediction.ranked[0]
        class_name = self._class_names[label]
        if self._options.by_folder:
            path = f"{class_name}/{original.name}"
        else:
            path = f"{class_name}-{score:.5f}{original.suffix}"
        return f"{UNSURE}/{path}" if score < self._options.unsure_below else path

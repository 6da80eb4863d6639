"""Loads the classifier that --baseline_graph names, and labels images with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from retrain.backbones import efficientnet_lite0
from retrain.config import BaselineOptions
from retrain.data import image_reader, pixels
from retrain.errors import UserError
from retrain.metadata import STRETCH
from retrain.runtimes import classifier_file, label_lines
from retrain.runtimes.runtime import ModelError, Runtime
from retrain.system.text import name_some
from retrain.system.threads import parallel_map

# Height and width for a graph that does not state them, as in label_image.
_DEFAULT_SIZE = 299


@dataclass(frozen=True)
class BaselineClassifier:
    """A classifier to compare with. It is in memory, so that the run can replace its file.

    Attributes:
        path: Its file or folder.
        labels: Its labels.
        runtime: The network.
    """

    path: Path
    labels: tuple[str, ...]
    runtime: Runtime

    @classmethod
    def load(cls, options: BaselineOptions, labels: Sequence[str]) -> "BaselineClassifier | None":
        """Loads the classifier that the options name, if any.

        Args:
            options: Which classifier to load.
            labels: Labels of the new classifier.

        Raises:
            UserError: If the file cannot be used, or has none of the labels.
        """
        if options.graph is None:
            return None
        runtime = classifier_file.load(
            options.graph, efficientnet_lite0.find, flag="baseline_graph"
        )
        own = runtime.description.labels
        if options.labels:
            own = label_lines.read(options.labels, flag="baseline_labels")
        if own is None:
            raise UserError(
                f"--baseline_graph={options.graph} does not contain labels; set --baseline_labels "
                "to its file with one label per line"
            )
        if not set(own) & set(labels):
            raise UserError(
                f"--baseline_graph={options.graph} has none of the classes of this training: its "
                f"labels are {name_some(own)}, and those of --image_dir are {name_some(labels)}"
            )
        return cls(options.graph, own, runtime)

    def predict(self, paths: Sequence[Path]) -> list[str | None]:
        """Returns the label of each image, or None if it can no longer be read.

        Raises:
            UserError: If the network does not take images, or does not compute a score per label.
        """
        return list(parallel_map(self._predict_one, paths, self.runtime.workers))

    def _predict_one(self, path: Path) -> str | None:
        try:
            values = self._run(image_reader.read(path))
        except (OSError, pixels.UnreadableImageError):
            return None
        except ModelError as error:
            raise UserError(f"--baseline_graph={self.path} cannot label {path}: {error}") from error
        if values.shape != (len(self.labels),):
            raise UserError(
                f"--baseline_graph={self.path} computes {values.size} scores for "
                f"{len(self.labels)} labels; set --baseline_labels to its own labels"
            )
        return self.labels[int(values.argmax())]

    def _run(self, data: bytes) -> np.ndarray:
        description = self.runtime.description
        if not self.runtime.takes_pixels:
            return self.runtime.run_file(data)
        image = pixels.decode(
            data,
            description.height or _DEFAULT_SIZE,
            description.width or _DEFAULT_SIZE,
            fit=description.fit or STRETCH,
            preprocessing_version=description.preprocessing_version or pixels.PREPROCESSING_VERSION,
        )
        return self.runtime.run(image[np.newaxis])[0]

"""Holds the classifier that the server uses and reloads it when its file changes."""

import datetime
import importlib.util
import io
import logging
import threading
from pathlib import Path

from PIL import Image

from label_image.classifier import NO_OVERRIDES, Classifier, Overrides
from label_image.unknown_images import log_if_undecidable
from retrain.data.image_limits import DEFAULT_LIMITS, ImageLimits
from retrain.errors import UserError
from retrain.runtimes import classifier_file

# Inode, modification time and size of each file of the model. Empty if a file is missing.
_FileStates = tuple[tuple[int, int, int], ...]


class ServedModel:
    """The classifier in a file. Thread-safe.

    Attributes:
        graph: Path of the classifier.
        loaded_at: Time at which the current classifier was loaded.
        reload_error: Why the latest file cannot be used, "" if it is the current classifier.
        failed_reloads: Number of new files that could not be used.
    """

    def __init__(
        self,
        graph: Path,
        *,
        overrides: Overrides = NO_OVERRIDES,
        limits: ImageLimits = DEFAULT_LIMITS,
    ) -> None:
        """Loads the classifier and labels one image, so that the first request is quick.

        Args:
            graph: Path of the classifier.
            overrides: The user's settings, which override those in the file.
            limits: Budget of each image.

        Raises:
            UserError: If the classifier or its labels cannot be used.
        """
        self.graph = graph
        self.reload_error = ""
        self.failed_reloads = 0
        self._limits = limits
        self._overrides = overrides
        self._paths = [graph, *([overrides.labels_file] if overrides.labels_file else [])]
        self._stopped = threading.Event()
        self._watcher: threading.Thread | None = None
        self._tried_states = self._file_states()
        self._use(self._load())

    @property
    def classifier(self) -> Classifier:
        """The current classifier. A reload does not affect callers that hold it."""
        return self._classifier

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels in the order of the network's outputs."""
        return self._classifier.labels

    def watch(self, seconds: float) -> None:
        """Starts a thread that checks at this interval for a new file, and loads it.

        Requests in progress keep the classifier that they started with. If a new file cannot be
        used, the old classifier stays and `reload_error` says why.
        """
        self._watcher = threading.Thread(target=self._watch, args=(seconds,), daemon=True)
        self._watcher.start()

    def stop(self) -> None:
        """Stops watching, and waits until a reload in progress has ended."""
        self._stopped.set()
        if self._watcher:
            self._watcher.join()

    def _watch(self, seconds: float) -> None:
        current = self._tried_states
        while not self._stopped.wait(seconds):
            previous, current = current, self._file_states()
            # A file that changed since the last check is probably still being written.
            if current not in (previous, self._tried_states):
                continue
            if current != self._tried_states:
                self._tried_states = current
                self._reload()

    def _reload(self) -> None:
        try:
            self._use(self._load())
        except UserError as error:
            self._keep_old(str(error))
        except Exception as error:  # No file, however broken, can stop the server.
            reason = f"--graph={self.graph} cannot be loaded: {type(error).__name__}: {error}"
            self._keep_old(reason)
        else:
            logging.info("Serving the new %s with %d labels", self.graph, len(self.labels))

    def _keep_old(self, reason: str) -> None:
        self.reload_error = reason
        self.failed_reloads += 1
        logging.warning("The new model is not used; still serving the old one: %s", reason)

    def _load(self) -> Classifier:
        try:
            classifier = Classifier(self.graph, overrides=self._overrides, limits=self._limits)
        except (ImportError, AttributeError) as error:
            if importlib.util.find_spec("tensorflow"):
                raise
            raise UserError(
                f"--graph={self.graph} is not a TFLite file, and other files need TensorFlow, "
                "which is not installed; use the .tflite file of the classifier"
            ) from error
        classifier.classify_one(_grey_image())
        log_if_undecidable(self.graph, classifier.unknown_below, self._overrides.unknown_below)
        return classifier

    def _use(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self.loaded_at = datetime.datetime.now(datetime.timezone.utc)
        self.reload_error = ""

    def _file_states(self) -> _FileStates:
        try:
            return tuple(
                _state(file) for path in self._paths for file in classifier_file.list_files(path)
            )
        except OSError:
            return ()


def _state(file: Path) -> tuple[int, int, int]:
    status = file.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size


def _grey_image() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "grey").save(file, "JPEG")
    return file.getvalue()

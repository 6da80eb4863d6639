"""The classifier that is served: a new one takes its place when its file is replaced."""

import datetime
import importlib.util
import io
import logging
import threading
from pathlib import Path

from PIL import Image

from label_image.classifier import Classifier, Overrides
from retrain.errors import UserError

# What tells that a file was replaced or written to; empty where there is none.
_Stamp = tuple[tuple[int, int, int], ...]


class ServedModel:
    """The classifier in a file, which any number of threads may ask.

    Attributes:
        graph: the file.
        loaded_at: when the classifier that answers now was loaded.
        reload_error: why the file as it is now cannot be used, "" where it is the one that answers.
        failed_reloads: how often a new file could not be used.
    """

    def __init__(self, graph: Path, labels_file: Path | None = None) -> None:
        """Loads the classifier and lets it label an image, so that the first request is quick.

        Raises:
            UserError: the file, or its labels, cannot be used.
        """
        self.graph = graph
        self.reload_error = ""
        self.failed_reloads = 0
        self._overrides = Overrides(labels_file=labels_file)
        self._files = [graph, *([labels_file] if labels_file else [])]
        self._stopped = threading.Event()
        self._watcher: threading.Thread | None = None
        self._tried = self._stamp()
        self._use(self._load())

    @property
    def classifier(self) -> Classifier:
        """The classifier as of now; who keeps it is not touched by a new one."""
        return self._classifier

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of the network's outputs."""
        return self._classifier.labels

    def watch(self, seconds: float) -> None:
        """Looks every so many seconds, in a thread, whether there is a new file, and loads it.

        Requests that have begun are answered by the classifier that they began with. A file that
        cannot be used changes nothing but `reload_error`.
        """
        self._watcher = threading.Thread(target=self._watch, args=(seconds,), daemon=True)
        self._watcher.start()

    def stop(self) -> None:
        """Ends the watching; waits for a classifier that is being loaded."""
        self._stopped.set()
        if self._watcher:
            self._watcher.join()

    def _watch(self, seconds: float) -> None:
        seen = self._tried
        while not self._stopped.wait(seconds):
            before, seen = seen, self._stamp()
            # One that still changes is being written.
            if seen not in (before, self._tried):
                continue
            if seen != self._tried:
                self._tried = seen
                self._reload()

    def _reload(self) -> None:
        try:
            self._use(self._load())
        except UserError as error:
            self._keep(str(error))
        except Exception as error:  # Whatever is in the file, the old classifier goes on.
            self._keep(f"--graph={self.graph} cannot be loaded: {type(error).__name__}: {error}")
        else:
            logging.info("Serving the new %s with %d labels", self.graph, len(self.labels))

    def _keep(self, reason: str) -> None:
        self.reload_error = reason
        self.failed_reloads += 1
        logging.warning("the new model is not used, the old one goes on: %s", reason)

    def _load(self) -> Classifier:
        try:
            classifier = Classifier(self.graph, self._overrides)
        except (ImportError, AttributeError) as error:
            if importlib.util.find_spec("tensorflow"):
                raise
            raise UserError(
                f"--graph={self.graph} is no TFLite file, and others need TensorFlow, which is not "
                "installed here; give the .tflite file of the classifier"
            ) from error
        classifier.classify_one(_grey_image())
        return classifier

    def _use(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self.loaded_at = datetime.datetime.now(datetime.timezone.utc)
        self.reload_error = ""

    def _stamp(self) -> _Stamp:
        try:
            return tuple(_stamp(file) for path in self._files for file in _files_in(path))
        except OSError:
            return ()


def _files_in(path: Path) -> list[Path]:
    """Returns the file, or the files of a model that is a folder."""
    return [path, *sorted(path.rglob("*"))] if path.is_dir() else [path]


def _stamp(file: Path) -> tuple[int, int, int]:
    status = file.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size


def _grey_image() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "grey").save(file, "JPEG")
    return file.getvalue()

"""Draws heat maps of the classifier that the server uses, and answers what prevents that."""

import io
import threading
from collections.abc import Sequence
from typing import TypedDict

from werkzeug.exceptions import BadRequest, NotFound, UnprocessableEntity

from label_image.classifier import Classifier, UnreadableImage
from label_image.heat_map_images import HeatMapImages
from retrain.data.pixels import UnreadableImageError
from retrain.errors import UserError
from tools.server.request_images import as_url

_MAX_SIDE = 480
_QUALITY = 85


class HeatMapCard(TypedDict, total=False):
    """A heat map for the page: its label, and a `data:` URL or the reason for having none."""

    label: str
    url: str
    error: str


class _NoHeatMapsError(Exception):
    """There is no heat map for the network. The message says why, in one line."""


class ServedHeatMaps:
    """The heat maps of the current classifier, whose network is prepared for the first of them.

    Thread-safe.
    """

    def __init__(self) -> None:
        """Prepares nothing yet."""
        self._lock = threading.Lock()
        self._classifier: Classifier | None = None
        self._images: HeatMapImages | None = None
        self._reason = ""

    def draw_one(self, classifier: Classifier, data: bytes, label: str | None) -> bytes:
        """Returns a heat map over the upright image as a JPEG file.

        Args:
            classifier: The current classifier.
            data: Content of an image file.
            label: Label from a request; None for the best one.

        Raises:
            BadRequest: If the classifier does not have the label.
            NotFound: If there is no heat map for the network.
            UnprocessableEntity: If the image cannot be read.
        """
        if label is None:
            result = classifier.classify_one(data)
            if isinstance(result, UnreadableImage):
                raise UnprocessableEntity(f"the image cannot be labelled: {result.reason}")
            label = result.ranked[0][0]
        elif label not in classifier.labels:
            raise BadRequest("label must be one of the labels that /labels lists")
        try:
            (jpeg,) = self._draw(classifier, data, [label])
        except UnreadableImageError as error:
            raise UnprocessableEntity(f"the image cannot be labelled: {error}") from error
        except _NoHeatMapsError as error:
            raise NotFound(str(error)) from error
        return jpeg

    def draw_cards(
        self, classifier: Classifier, data: bytes, labels: Sequence[str]
    ) -> list[HeatMapCard]:
        """Returns the heat maps of some of the classifier's labels for the page."""
        try:
            drawn = self._draw(classifier, data, labels)
        except (UnreadableImageError, _NoHeatMapsError) as error:
            return [{"label": label, "error": str(error)} for label in labels]
        return [
            {"label": label, "url": as_url(jpeg)} for label, jpeg in zip(labels, drawn, strict=True)
        ]

    def _draw(self, classifier: Classifier, data: bytes, labels: Sequence[str]) -> list[bytes]:
        files = []
        for image in self._prepare(classifier).draw(data, labels, max_side=_MAX_SIDE):
            file = io.BytesIO()
            image.save(file, "JPEG", quality=_QUALITY)
            files.append(file.getvalue())
        return files

    def _prepare(self, classifier: Classifier) -> HeatMapImages:
        with self._lock:
            if self._classifier is not classifier:
                self._images, self._reason = None, ""
                try:
                    self._images = HeatMapImages(classifier)
                except UserError as error:
                    self._reason = str(error)
                self._classifier = classifier
            if self._images is None:
                raise _NoHeatMapsError(self._reason)
            return self._images

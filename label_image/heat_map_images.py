"""Draws heat maps of a classifier over images, as PNG files."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from label_image.classifier import Classifier
from label_image.image_decoding import Source
from retrain.data import pixels
from retrain.data.image_limits import ImageLimits
from retrain.errors import UserError
from retrain.heat_maps import overlay
from retrain.heat_maps.heat_maps import HeatMaps
from retrain.heat_maps.pooled_layers import NoHeatMapError
from retrain.runtimes.runtime import ModelError
from retrain.system.text import first_line, name_some

# The longer side of the result in pixels. Smaller images are enlarged, so that the colours can be
# seen; larger ones would take seconds to compress.
_MIN_SIDE, _MAX_SIDE = 320, 1024
_LEGEND_HEIGHT, _MARGIN = 26, 6
_FONT_SIZE = 14

# A chunk in each file, by which a later run recognises what it can replace.
_KEY, _VALUE = "Software", "retrain heat map"


class HeatMapImages:
    """Draws the heat maps of a classifier, in any number of threads."""

    def __init__(self, classifier: Classifier) -> None:
        """Prepares the network.

        Args:
            classifier: The loaded classifier.

        Raises:
            UserError: If there is no heat map for the network.
        """
        try:
            self._heat_maps = HeatMaps(classifier.runtime)
        except NoHeatMapError as error:
            raise UserError(f"heat maps cannot be drawn: {error}") from error
        self._classifier = classifier

    def check_label(self, label: str, flag: str) -> None:
        """Checks that there is a heat map for a label.

        Args:
            label: The label.
            flag: Name of the flag that it is from.

        Raises:
            UserError: If the classifier does not have this label.
        """
        labels = self._classifier.labels
        if label not in labels:
            raise UserError(
                f"--{flag}={label} is not a label of the classifier; choose one of: "
                f"{name_some(labels, most=10)}"
            )

    def draw(
        self, source: Source, labels: Sequence[str], *, max_side: int = _MAX_SIDE
    ) -> list[Image.Image]:
        """Returns the upright image with the heat map of each label over it.

        Args:
            source: Path or content of the image file.
            labels: Labels of the classifier.
            max_side: Maximum length of the longer side of the results in pixels.

        Raises:
            UnreadableImageError: If the image cannot be read.
        """
        decoding = self._classifier.decoding
        data = decoding.read(source)
        ids = np.array([self._classifier.labels.index(label) for label in labels])
        try:
            if self._classifier.runtime.takes_pixels:
                network_input = decoding.decode(data)[np.newaxis]
                (maps,) = self._heat_maps.compute(network_input, ids[np.newaxis])
                image = pixels.decode_upright(
                    data,
                    *(max_side, max_side),
                    preprocessing_version=decoding.preprocessing_version,
                    limits=decoding.limits,
                )
            else:
                pixels.check_budget(data, decoding.limits)
                maps = self._heat_maps.compute_file(data, ids)
                image = _decode_as_stored(data, decoding.limits)
        except ModelError as error:
            raise pixels.UnreadableImageError(f"the graph cannot decode it ({error})") from error
        with pixels.refuse_without_memory():
            shown = np.asarray(_resize(image, max_side))
            network_size = (decoding.height, decoding.width)
            placed = (
                overlay.place(heat, shown.shape[:2], network_size, decoding.fit) for heat in maps
            )
            return [Image.fromarray(overlay.draw(shown, heat)) for heat in placed]


def _decode_as_stored(data: bytes, limits: ImageLimits) -> Image.Image:
    """Returns an image as the decoders in graphs see it, which do not turn it upright."""
    try:
        with pixels.open_image(data, limits=limits) as image:
            return image.convert("RGB")
    except pixels.UnreadableImageError:
        raise
    # Pillow raises exceptions of many types for damaged files, of which TensorFlow reads some.
    except Exception as error:
        raise pixels.UnreadableImageError(f"it is damaged ({first_line(error)})") from error


def to_png(image: Image.Image) -> bytes:
    """Returns an image with a legend below it as a PNG file."""
    buffer = io.BytesIO()
    information = PngImagePlugin.PngInfo()
    information.add_text(_KEY, _VALUE)
    _add_legend(image).save(buffer, "PNG", pnginfo=information)
    return buffer.getvalue()


def is_heat_map(image: Image.Image) -> bool:
    """Returns whether an opened image is a file that `to_png` returned."""
    return image.format == "PNG" and image.info.get(_KEY) == _VALUE


def _resize(image: Image.Image, max_side: int) -> Image.Image:
    longest = max(image.size)
    scale = min(max(longest, _MIN_SIDE), max_side) / longest
    if scale == 1:
        return image
    width, height = (max(1, round(scale * side)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=2)


def _add_legend(image: Image.Image) -> Image.Image:
    result = Image.new("RGB", (image.width, image.height + _LEGEND_HEIGHT), "white")
    result.paste(image)
    canvas = ImageDraw.Draw(result)
    font = ImageFont.load_default(_FONT_SIZE)
    middle = image.height + _LEGEND_HEIGHT // 2
    canvas.text((_MARGIN, middle), "least", fill="black", font=font, anchor="lm")
    canvas.text((image.width - _MARGIN, middle), "most", fill="black", font=font, anchor="rm")
    left = 2 * _MARGIN + round(canvas.textlength("least", font))
    right = image.width - 2 * _MARGIN - round(canvas.textlength("most", font))
    if right > left:
        colours = overlay.colour_scale(right - left).astype(np.uint8)
        bar = np.broadcast_to(colours, (_LEGEND_HEIGHT - 2 * _MARGIN, *colours.shape))
        result.paste(Image.fromarray(np.ascontiguousarray(bar)), (left, image.height + _MARGIN))
    return result

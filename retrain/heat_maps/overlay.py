"""Draws heat maps over images."""

import numpy as np

from retrain.data.fit_areas import cropped_area, padded_area
from retrain.heat_maps.upsampling import upsample
from retrain.metadata import CROP, PAD, STRETCH

# The colours of the scale from the least to the most, which people with any colour vision can tell
# apart, and which become lighter throughout: matplotlib's "inferno" at equal distances.
_COLOURS = (
    *((0, 0, 4), (31, 12, 72), (85, 15, 109), (136, 34, 106), (186, 54, 85), (227, 89, 51)),
    *((249, 140, 10), (249, 201, 50), (252, 255, 164)),
)
# Share of the colour in the result, where the map is lowest and where it is highest.
_OPACITY = (0.35, 0.7)
# Luminance of RGB, as in ITU-R BT.601.
_LUMINANCE = np.array((0.299, 0.587, 0.114), np.float32)


def draw(image: np.ndarray, heat_map: np.ndarray) -> np.ndarray:
    """Returns an image in grey with a heat map over it in colours, uint8 [height, width, 3].

    The colours are relative to the image: dark violet where the map is lowest, light yellow where
    it is highest.

    Args:
        image: uint8 [height, width, 3], RGB.
        heat_map: float32 [h, w], as `HeatMaps.compute` or `place` returns it. There is no colour
            where it is not a number.
    """
    heat = upsample(heat_map, *image.shape[:2])
    is_known = np.isfinite(heat)
    levels = np.zeros(heat.shape, np.uint8)
    if is_known.any():
        low, high = heat[is_known].min(), heat[is_known].max()
        levels[is_known] = np.rint(255 * (heat[is_known] - low) / ((high - low) or 1))
    opacity = np.linspace(*_OPACITY, 256, dtype=np.float32)
    grey = image @ _LUMINANCE * (1 - opacity[levels] * is_known)
    colours = colour_scale(256) * opacity[:, np.newaxis]
    return np.rint(grey[..., np.newaxis] + colours[levels] * is_known[..., np.newaxis]).astype(
        np.uint8
    )


def place(
    heat_map: np.ndarray, image_size: tuple[int, int], network_size: tuple[int, int], fit: str
) -> np.ndarray:
    """Returns a heat map in the size of the image that the network's input was made of.

    Args:
        heat_map: float32 [h, w], as `HeatMaps.compute` returns it.
        image_size: Height and width of the upright image in pixels.
        network_size: Height and width of the network's input in pixels.
        fit: How the image was brought to the aspect ratio of the network; see
            `fitting.resize_to_fit`.

    Returns:
        float32 [height, width]. It is not a number where the network did not see the image.
    """
    height, width = image_size
    if fit == CROP:
        area = cropped_area((width, height), *network_size)
        result = np.full(image_size, np.nan, np.float32)
        seen = upsample(heat_map, area.height, area.width)
        result[area.top : area.top + area.height, area.left : area.left + area.width] = seen
        return result
    if fit == PAD:
        area = padded_area((width, height), *network_size)
        whole = upsample(heat_map, *network_size)
        rows = slice(area.top, area.top + area.height)
        return upsample(whole[rows, area.left : area.left + area.width], height, width)
    assert fit == STRETCH, fit
    return upsample(heat_map, height, width)


def colour_scale(length: int) -> np.ndarray:
    """Returns the colours from the least to the most, float32 [length, 3], 0 to 255."""
    positions = np.linspace(0, 1, length)
    known = np.linspace(0, 1, len(_COLOURS))
    channels = [np.interp(positions, known, channel) for channel in np.transpose(_COLOURS)]
    return np.stack(channels, -1).astype(np.float32)

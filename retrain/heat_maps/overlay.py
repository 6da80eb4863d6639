"""Draws heat maps over images."""

import numpy as np

from retrain.heat_maps.upsampling import upsample

# The colours of the scale from the least to the most, which people with any colour vision can tell
# apart, and which become lighter throughout: matplotlib's "inferno" at equal distances.
_COLOURS = np.array(
    [
        (0, 0, 4),
        (31, 12, 72),
        (85, 15, 109),
        (136, 34, 106),
        (186, 54, 85),
        (227, 89, 51),
        (249, 140, 10),
        (249, 201, 50),
        (252, 255, 164),
    ],
    np.float32,
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
        heat_map: float32 [h, w], as `HeatMaps.compute` returns it.
    """
    heat = _scale(upsample(heat_map, *image.shape[:2]))
    grey = (image @ _LUMINANCE)[..., np.newaxis]
    least, most = _OPACITY
    opacity = (least + (most - least) * heat)[..., np.newaxis]
    return np.rint(grey * (1 - opacity) + _colour(heat) * opacity).astype(np.uint8)


def _scale(heat: np.ndarray) -> np.ndarray:
    """Returns a map with values from 0 to 1."""
    low, high = float(heat.min()), float(heat.max())
    return (heat - low) / (high - low) if high > low else np.zeros_like(heat)


def _colour(heat: np.ndarray) -> np.ndarray:
    """Returns the colours of values from 0 to 1, float32 [..., 3]."""
    positions = np.linspace(0, 1, len(_COLOURS))
    channels = [np.interp(heat, positions, column) for column in _COLOURS.T]
    return np.stack(channels, -1).astype(np.float32)

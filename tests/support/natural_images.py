"""Draws images that differ as photos do: blobs of random colours, sizes and places."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter


def draw(seed: int, *, width: int = 160, height: int = 120) -> Image.Image:
    """Returns an image. Different seeds give entirely different images."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (width, height), tuple(rng.integers(40, 216, 3).tolist()))
    pen = ImageDraw.Draw(image)
    for _ in range(12):
        x, y = rng.uniform(-0.2, 1, 2) * (width, height)
        w, h = rng.uniform(0.1, 0.5, 2) * (width, height)
        colour = tuple(rng.integers(0, 256, 3).tolist())
        if rng.random() < 0.5:
            pen.rectangle((x, y, x + w, y + h), fill=colour)
        else:
            pen.ellipse((x, y, x + w, y + h), fill=colour)
    return image.filter(ImageFilter.GaussianBlur(0.7))

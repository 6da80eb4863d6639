"""Draws the example images: base-ten counting blocks on a table, like photos from a phone."""

import dataclasses
import io

import numpy as np
from absl import flags
from PIL import Image, ImageFilter

from examples.block_shapes import CLASSES, Array, Block, Rng, arrange_blocks, normalise
from examples.ray_tracing import SAMPLES, UP, Camera, Light, render
from retrain.errors import UserError
from retrain.system.files.user_paths import user_path
from retrain.system.outputs.atomic_files import write_file
from retrain.system.program import command_line

SEED = 2  # Seed of the images in examples/blocks.
SIZES = ((320, 240), (240, 320), (288, 216), (216, 288), (320, 180), (256, 256), (240, 180))

_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Folder for ones/, tens/ and hundreds/.")
_SEED = flags.DEFINE_integer("seed", SEED, "Random seed. The same seed draws the same images.", 0)
_IMAGES_PER_CLASS = flags.DEFINE_integer(
    "pictures_per_category", 50, "Number of images to draw for each class.", lower_bound=1
)


def unit_vector(azimuth: float, elevation: float) -> Array:
    """Returns the unit vector with an azimuth and elevation in degrees, [3]."""
    a, e = np.radians([azimuth, elevation])
    return np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])


def choose_light(rng: Rng) -> Light:
    """Returns a random light between daylight and lamplight, from any side."""
    warmth = rng.uniform(-0.12, 0.18)
    return Light(
        direction=unit_vector(rng.uniform(0, 360), rng.uniform(30, 75)),
        radius=rng.uniform(0.02, 0.25),
        direct=rng.uniform(0.4, 2.5) * np.array([1 + warmth, 1, 1 - warmth]),
        ambient=np.array([1, 1, 1 + rng.uniform(-0.1, 0.1)]),
        side=unit_vector(rng.uniform(0, 360), 20) * rng.uniform(0, 0.8),
        gloss=max(0.0, rng.uniform(-0.3, 0.6)),
    )


def aim_camera(blocks: list[Block], size: tuple[int, int], rng: Rng) -> Camera:
    """Points a camera at blocks so that they fill a part of the image."""
    points = np.concatenate([block.corners for block in blocks])
    pitch = rng.uniform(35, 80)
    forward = -unit_vector(rng.uniform(0, 360), pitch)
    level = normalise(np.cross(forward, UP))
    roll = np.radians(rng.normal(0, 4))
    right = np.cos(roll) * level + np.sin(roll) * np.cross(forward, level)
    axes = np.array([right, np.cross(forward, right), forward])
    focal = max(size) / 2 / np.tan(np.radians(rng.uniform(18, 28)))
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    closest = focal / (0.33 * max(size))  # A cube never fills more than a third of the image.
    fill, distance = rng.uniform(0.5, 0.9), 40.0
    for _ in range(5):
        camera = Camera(middle - distance * forward, axes, focal, size, 0, distance)
        fraction = (np.ptp(camera.project(points), axis=0) / size).max()
        distance = max(closest, distance * fraction / fill)
    free = (1 - fraction) / 2 * distance * np.array(size) / focal
    return dataclasses.replace(
        camera,
        position=camera.position + rng.uniform(-0.7, 0.7, 2) * free @ axes[:2],
        aperture=distance * rng.uniform(0, 0.02),
        focus=distance * rng.uniform(0.9, 1.15),
    )


def develop(radiance: Array, rng: Rng) -> Image.Image:
    """Converts light [height, width, 3] to an image like the camera of a phone.

    Exposes for the mean, compresses highlights, and adds vignetting, noise and sharpening.
    """
    height, width = radiance.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    falloff = 1 - rng.uniform(0, 0.25) * (x * x + y * y) + rng.normal(0, 0.08) * x
    exposed = radiance * falloff[..., None] * rng.uniform(0.25, 0.5) / radiance.mean()
    grain = rng.normal(0, 1, (height, width, 1)) + rng.normal(0, 0.5, (height, width, 3))
    encoded = 255 * (1 - np.exp(-1.4 * exposed**1.15)) ** (1 / 2.2) + rng.uniform(0.5, 3) * grain
    image = Image.fromarray(np.clip(encoded, 0, 255).astype(np.uint8))
    image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.8)))
    return image.filter(ImageFilter.UnsharpMask(1.5, int(rng.integers(0, 60)), 2))


def draw_image(class_name: str, seed: int, number: int) -> bytes:
    """Returns a JPEG file with blocks of a class. The arguments determine the image."""
    rng = np.random.default_rng([seed, list(CLASSES).index(class_name), number])
    width, height = SIZES[rng.integers(len(SIZES))]
    blocks = arrange_blocks(class_name, rng)
    camera = aim_camera(blocks, (width * SAMPLES, height * SAMPLES), rng)
    image = develop(render(blocks, camera, choose_light(rng), rng), rng)
    jpeg = io.BytesIO()
    image.save(jpeg, "JPEG", quality=int(rng.integers(50, 86)))
    return jpeg.getvalue()


def main(_: list[str]) -> None:
    """Draws the images of each class into a folder with its name."""
    if not _OUTPUT_DIR.value:
        raise UserError(
            "--output_dir is required; set it to a folder for ones/, tens/ and hundreds/"
        )
    output_dir = user_path(_OUTPUT_DIR.value)
    for class_name in CLASSES:
        for number in range(1, _IMAGES_PER_CLASS.value + 1):
            path = output_dir / class_name / f"{class_name}_{number:03}.jpg"
            write_file(path, draw_image(class_name, _SEED.value, number))


if __name__ == "__main__":
    command_line.run(main, __doc__ or "")

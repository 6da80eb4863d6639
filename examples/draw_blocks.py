"""Draws the example pictures: base-ten counting blocks on a table, as if taken with a phone.

A small ray tracer. Each of the samples of a pixel starts from another point of the lens, and looks
for the lamp and for the room's light in other directions; their mean has a depth of field and soft
shadows. Lengths are in edges of a unit cube, z points up and the table is the plane z = 0. Colours
are linear RGB until `developed`.
"""

import dataclasses
import io
from pathlib import Path

import numpy as np
from absl import app, flags
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from examples.block_shapes import BEVEL, CATEGORIES, Block, arrangement, nearest, unit
from examples.table_tops import fractal, table_top
from retrain import runtime

Array = NDArray[np.float64]
Rng = np.random.Generator

SAMPLES = 4  # along each side of a pixel
SIZES = ((320, 240), (240, 320), (288, 216), (216, 288), (320, 180), (256, 256), (240, 180))
BLOCK_COLOURS = "d9b380 c99a62 e2c79b e8b820 3c9a48 2f66b5 c8372f e07a28 7b4a9e dcd8cc"
TABLE_COLOURS = "b98a5a 7a5236 d8c3a0 e9e6df 9aa3a8 4f5b66 8a8f80 96604f 5f7a8c c4b184"
UP = np.array([0.0, 0.0, 1.0])


@dataclasses.dataclass(frozen=True)
class Camera:
    """A camera with a thin lens."""

    position: Array  # [3]
    axes: Array  # [3, 3]; rows point right, down and forward
    focal: float  # in widths of a sample
    size: tuple[int, int]  # width and height in samples
    aperture: float  # radius of the lens
    focus: float  # distance at which the picture is sharp

    def project(self, points: Array) -> Array:
        """Maps points [..., 3] to samples [..., 2], counted from the picture's middle."""
        seen = (points - self.position) @ self.axes.T
        return self.focal * seen[..., :2] / seen[..., 2:]

    def rays(self, rng: Rng) -> tuple[Array, Array]:
        """Returns the origins and directions [N, 3] of all samples' rays, row by row."""
        width, height = self.size
        x, y = np.meshgrid(np.arange(width) - width / 2, np.arange(height) - height / 2)
        ahead = np.stack([x / self.focal, y / self.focal, np.ones_like(x)], axis=-1) @ self.axes
        lens = self.aperture * sphere(self.size, rng)[:, :2] @ self.axes[:2]
        return self.position + lens, self.focus * ahead.reshape(-1, 3) - lens


@dataclasses.dataclass(frozen=True)
class Light:
    """A lamp or a window far away, and what the room throws back."""

    direction: Array  # [3], unit, from the table towards the light
    radius: float  # of the lamp, seen as from a distance of 1
    direct: Array  # [3], RGB
    ambient: Array  # [3], RGB
    side: Array  # [3]; towards the bright side of the room, the longer the brighter
    gloss: float  # strength of the blocks' highlights; 0 for raw wood


def sphere(size: tuple[int, int], rng: Rng) -> Array:
    """Returns a random point on the unit sphere for each sample, [N, 3].

    Those of one pixel are spread evenly over the sphere, which makes for less noise.
    """
    width, height = size
    row, column = np.indices((height, width)).reshape(2, -1) % SAMPLES
    z = 2 * (row + rng.random(row.size)) / SAMPLES - 1
    angle = 2 * np.pi * (column + rng.random(row.size)) / SAMPLES
    radius = np.sqrt(1 - z * z)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=1)


def linear(colours: str) -> Array:
    """Turns "rrggbb rrggbb" into linear RGB [N, 3]."""
    return np.array([list(bytes.fromhex(colour)) for colour in colours.split()]) ** 2.2 / 255**2.2


def towards(azimuth: float, elevation: float) -> Array:
    """Returns the unit vector [3] at two angles in degrees."""
    a, e = np.radians([azimuth, elevation])
    return np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])


def random_light(rng: Rng) -> Light:
    """Picks daylight to lamp light, from any side."""
    warmth = rng.uniform(-0.12, 0.18)
    return Light(
        direction=towards(rng.uniform(0, 360), rng.uniform(30, 75)),
        radius=rng.uniform(0.02, 0.25),
        direct=rng.uniform(0.4, 2.5) * np.array([1 + warmth, 1, 1 - warmth]),
        ambient=np.array([1, 1, 1 + rng.uniform(-0.1, 0.1)]),
        side=towards(rng.uniform(0, 360), 20) * rng.uniform(0, 0.8),
        gloss=max(0.0, rng.uniform(-0.3, 0.6)),
    )


def aimed_camera(blocks: list[Block], size: tuple[int, int], rng: Rng) -> Camera:
    """Points a camera at blocks, so that they fill a part of the picture."""
    points = np.concatenate([block.corners for block in blocks])
    pitch = rng.uniform(35, 80)
    forward = -towards(rng.uniform(0, 360), pitch)
    level = unit(np.cross(forward, UP))
    roll = np.radians(rng.normal(0, 4))
    right = np.cos(roll) * level + np.sin(roll) * np.cross(forward, level)
    axes = np.array([right, np.cross(forward, right), forward])
    focal = max(size) / 2 / np.tan(np.radians(rng.uniform(18, 28)))
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    closest = focal / (0.33 * max(size))  # A cube never fills more than a third of the picture.
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


def seen_surfaces(
    blocks: list[Block], origins: Array, directions: Array, rng: Rng
) -> tuple[Array, Array, Array, Array]:
    """Returns the points, normals and colours [N, 3] that rays [N, 3] meet, and which are blocks'.

    The last is boolean, [N]; the other points are the table's.
    """
    distance, number = nearest(blocks, origins, directions)
    on_block = np.isfinite(distance)
    distance = np.where(on_block, distance, -origins[:, 2] / directions[:, 2])
    points = origins + distance[:, None] * directions
    normals, colours = np.tile(UP, (len(points), 1)), np.empty_like(points)
    colours[~on_block] = table_top(points[~on_block, :2], linear(TABLE_COLOURS), rng)
    darkness, grain = rng.uniform(0.4, 0.8), rng.uniform(0.02, 0.1)
    for i, block in enumerate(blocks):
        mine = on_block & (number == i)
        normals[mine], colour, groove = block.surface(points[mine])
        mottle = fractal(points[mine, :2] * [3, 5] + points[mine, 2:] * [4, 1], rng, 3)
        colours[mine] = colour * ((1 - darkness * groove) * (1 + grain * mottle))[:, None]
    return points, normals, colours, on_block


def traced(blocks: list[Block], camera: Camera, light: Light, rng: Rng) -> Array:
    """Returns the light that each pixel receives, [height, width, 3]."""
    origins, directions = camera.rays(rng)
    points, normals, colours, on_block = seen_surfaces(blocks, origins, directions, rng)
    # Starting a bevel off the face lets light reach over the edges that bevels round off.
    starts = points + BEVEL * normals

    lamp = unit(light.direction + light.radius * sphere(camera.size, rng))
    lit = np.isinf(nearest(blocks, starts, lamp)[0])
    direct = (lit * np.maximum((normals * lamp).sum(axis=1), 0))[:, None] * light.direct

    away = unit(normals + sphere(camera.size, rng))
    distance, number = nearest(blocks, starts, away)
    others = np.array([block.colours.mean(axis=(0, 1, 2)) for block in blocks])[number]
    reflector = np.where(np.isfinite(distance)[:, None], others, colours[~on_block].mean(axis=0))
    open_sky = np.isinf(distance) & (away[:, 2] > 0)
    room = np.where(open_sky[:, None], (1 + away @ light.side)[:, None], 0.5 * reflector)

    half = unit(lamp - unit(directions))
    glint = light.gloss * on_block * lit * np.maximum((normals * half).sum(axis=1), 0) ** 60
    samples = colours * (direct + room * light.ambient) + glint[:, None] * light.direct
    width, height = camera.size
    grid = samples.reshape(height // SAMPLES, SAMPLES, width // SAMPLES, SAMPLES, 3)
    return grid.mean(axis=(1, 3))


def developed(radiance: Array, rng: Rng) -> Image.Image:
    """Turns light [height, width, 3] into a picture as a phone does.

    It exposes for the mean, compresses highlights, and adds vignetting, noise and sharpening.
    """
    height, width = radiance.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    falloff = 1 - rng.uniform(0, 0.25) * (x * x + y * y) + rng.normal(0, 0.08) * x
    exposed = radiance * falloff[..., None] * rng.uniform(0.25, 0.5) / radiance.mean()
    grain = rng.normal(0, 1, (height, width, 1)) + rng.normal(0, 0.5, (height, width, 3))
    encoded = 255 * (1 - np.exp(-1.4 * exposed**1.15)) ** (1 / 2.2) + rng.uniform(0.5, 3) * grain
    picture = Image.fromarray(np.clip(encoded, 0, 255).astype(np.uint8))
    picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.8)))
    return picture.filter(ImageFilter.UnsharpMask(1.5, int(rng.integers(0, 60)), 2))


def draw_picture(category: str, rng: Rng) -> bytes:
    """Returns a JPEG of a category's blocks."""
    width, height = SIZES[rng.integers(len(SIZES))]
    blocks = arrangement(category, linear(BLOCK_COLOURS), rng)
    camera = aimed_camera(blocks, (width * SAMPLES, height * SAMPLES), rng)
    picture = developed(traced(blocks, camera, random_light(rng), rng), rng)
    jpeg = io.BytesIO()
    picture.save(jpeg, "JPEG", quality=int(rng.integers(50, 86)))
    return jpeg.getvalue()


def draw_all(output_dir: Path, seed: int, pictures_per_category: int) -> None:
    """Draws every category into a folder of its name; a picture depends on its number alone."""
    for index, category in enumerate(CATEGORIES):
        for number in range(1, pictures_per_category + 1):
            rng = np.random.default_rng([seed, index, number])
            path = output_dir / category / f"{category}_{number:03}.jpg"
            runtime.write_file(path, draw_picture(category, rng))


def main(_: list[str]) -> None:
    """Draws the pictures that the flags ask for."""
    draw_all(runtime.user_path(FLAGS.output_dir), FLAGS.seed, FLAGS.pictures_per_category)


if __name__ == "__main__":
    FLAGS = flags.FLAGS
    flags.DEFINE_string("output_dir", None, "Where to write ones/, tens/, hundreds/.", required=True)
    flags.DEFINE_integer("seed", 1, "The same seed draws the same pictures.", lower_bound=0)
    flags.DEFINE_integer("pictures_per_category", 50, "How many pictures to draw.", lower_bound=1)
    app.run(main)

"""A small ray tracer for blocks on a table.

Each of the samples of a pixel starts from another point of the lens, and looks for the lamp and
for the room's light in other directions; their mean has a depth of field and soft shadows. Lengths
are in edges of a unit cube, z points up, the table is the plane z = 0 and colours are linear RGB.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from examples.block_shapes import BEVEL, Array, Block, Rng, nearest, unit
from examples.table_tops import fractal, table_top

SAMPLES = 4  # along each side of a pixel
UP = np.array([0.0, 0.0, 1.0])


@dataclasses.dataclass(frozen=True)
class Camera:
    """A camera with a thin lens."""

    position: Array  # [3]
    axes: Array  # [3, 3]; rows point right, down and forward
    focal: float  # in widths of a sample
    size: tuple[int, int]  # width and height in samples
    aperture: float  # radius of the lens
    focus: float  # distance at which the image is sharp

    def project(self, points: Array) -> Array:
        """Maps points [..., 3] to samples [..., 2], counted from the image's middle."""
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


@dataclasses.dataclass(frozen=True)
class Surfaces:
    """What each sample sees."""

    points: Array  # [N, 3]
    normals: Array  # [N, 3], unit
    colours: Array  # [N, 3]
    on_block: NDArray[np.bool_]  # [N]; the other points are the table's

    @property
    def starts(self) -> Array:
        """Where rays leave the surfaces, [N, 3]: a bevel off, for light to reach round edges."""
        return self.points + BEVEL * self.normals


def traced(blocks: list[Block], camera: Camera, light: Light, rng: Rng) -> Array:
    """Returns the light that each pixel receives, [height, width, 3]."""
    origins, directions = camera.rays(rng)
    surfaces = seen_surfaces(blocks, origins, directions, rng)
    lamp = unit(light.direction + light.radius * sphere(camera.size, rng))
    away = unit(surfaces.normals + sphere(camera.size, rng))
    samples = lamp_light(surfaces, blocks, light, lamp, -unit(directions))
    samples += room_light(surfaces, blocks, light, away)
    width, height = camera.size
    grid = samples.reshape(height // SAMPLES, SAMPLES, width // SAMPLES, SAMPLES, 3)
    return grid.mean(axis=(1, 3))


def seen_surfaces(blocks: list[Block], origins: Array, directions: Array, rng: Rng) -> Surfaces:
    """Returns what rays [N, 3] meet first."""
    distance, number = nearest(blocks, origins, directions)
    on_block = np.isfinite(distance)
    distance = np.where(on_block, distance, -origins[:, 2] / directions[:, 2])
    points = origins + distance[:, None] * directions
    normals, colours = np.tile(UP, (len(points), 1)), np.empty_like(points)
    colours[~on_block] = table_top(points[~on_block, :2], rng)
    darkness, grain = rng.uniform(0.4, 0.8), rng.uniform(0.02, 0.1)
    for i, block in enumerate(blocks):
        mine = on_block & (number == i)
        normals[mine], colour, groove = block.surface(points[mine])
        mottle = fractal(points[mine, :2] * [3, 5] + points[mine, 2:] * [4, 1], rng, 3)
        colours[mine] = colour * ((1 - darkness * groove) * (1 + grain * mottle))[:, None]
    return Surfaces(points, normals, colours, on_block)


def lamp_light(
    surfaces: Surfaces, blocks: list[Block], light: Light, lamp: Array, eye: Array
) -> Array:
    """Returns what surfaces send back of the lamp's light, matt and glossy, [N, 3].

    Takes the directions [N, 3] to the lamp and to the eye, unit vectors.
    """
    lit = np.isinf(nearest(blocks, surfaces.starts, lamp)[0])
    matt = np.maximum((surfaces.normals * lamp).sum(axis=1), 0)
    shine = np.maximum((surfaces.normals * unit(lamp + eye)).sum(axis=1), 0) ** 60
    glossy = light.gloss * surfaces.on_block * shine
    return (surfaces.colours * matt[:, None] + glossy[:, None]) * lit[:, None] * light.direct


def room_light(surfaces: Surfaces, blocks: list[Block], light: Light, away: Array) -> Array:
    """Returns what surfaces send back of the room's light, [N, 3].

    Takes the directions [N, 3], unit, in which to look for it. Where the table or a block is in
    the way, half of the light comes from there, in its colour.
    """
    distance, number = nearest(blocks, surfaces.starts, away)
    blocked = np.isfinite(distance)[:, None]
    block_colours = np.array([block.colours.mean(axis=(0, 1, 2)) for block in blocks])
    table_colour = surfaces.colours[~surfaces.on_block].mean(axis=0)
    below = np.where(blocked, block_colours[number], table_colour)
    room = np.where(blocked | (away[:, 2:] < 0), 0.5 * below, 1 + (away @ light.side)[:, None])
    return surfaces.colours * room * light.ambient


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

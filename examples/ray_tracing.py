"""A small ray tracer for blocks on a table.

Each sample of a pixel uses a different point of the lens and different directions to the lamp and
to the light of the room. The mean of the samples therefore has a depth of field and soft shadows.
The unit of length is the edge of a cube, z points up, the table is the plane z = 0, and colours are
linear RGB.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from examples.block_shapes import BEVEL, Array, Block, Rng, first_hit, normalise
from examples.table_tops import fractal_noise, table_colours

SAMPLES = 4  # Samples along each side of a pixel.
UP = np.array([0.0, 0.0, 1.0])


@dataclasses.dataclass(frozen=True)
class Camera:
    """A camera with a thin lens."""

    position: Array  # [3]
    axes: Array  # [3, 3]. Rows point right, down and forward.
    focal: float  # Focal length in widths of a sample.
    size: tuple[int, int]  # Width and height in samples.
    aperture: float  # Radius of the lens.
    focus: float  # Distance at which the image is sharp.

    def project(self, points: Array) -> Array:
        """Projects points [..., 3] to samples [..., 2], relative to the centre of the image."""
        relative = (points - self.position) @ self.axes.T
        return self.focal * relative[..., :2] / relative[..., 2:]

    def rays(self, rng: Rng) -> tuple[Array, Array]:
        """Returns origins and directions of the rays of all samples, row by row, [N, 3] each."""
        width, height = self.size
        x, y = np.meshgrid(np.arange(width) - width / 2, np.arange(height) - height / 2)
        ahead = np.stack([x / self.focal, y / self.focal, np.ones_like(x)], axis=-1) @ self.axes
        lens = self.aperture * sample_sphere(self.size, rng)[:, :2] @ self.axes[:2]
        return self.position + lens, self.focus * ahead.reshape(-1, 3) - lens


@dataclasses.dataclass(frozen=True)
class Light:
    """A distant lamp or window, and the light that the room reflects."""

    direction: Array  # [3], unit vector from the table to the lamp.
    radius: float  # Radius of the lamp at a distance of 1.
    direct: Array  # [3], RGB of the lamp.
    ambient: Array  # [3], RGB of the room.
    side: Array  # [3], vector to the bright side of the room. Its length is the brightness.
    gloss: float  # Strength of the highlights on blocks; 0 for raw wood.


@dataclasses.dataclass(frozen=True)
class Surfaces:
    """The surface points that the samples show."""

    points: Array  # [N, 3]
    normals: Array  # [N, 3], unit vectors.
    colours: Array  # [N, 3]
    on_block: NDArray[np.bool_]  # [N]. Other points are on the table.

    @property
    def ray_origins(self) -> Array:
        """Origins of reflected rays, [N, 3].

        They are a bevel above the surface, so that light can pass around rounded edges.
        """
        return self.points + BEVEL * self.normals


def render(blocks: list[Block], camera: Camera, light: Light, rng: Rng) -> Array:
    """Returns the light that reaches each pixel, [height, width, 3]."""
    origins, directions = camera.rays(rng)
    surfaces = find_visible_surfaces(blocks, origins, directions, rng)
    lamp = normalise(light.direction + light.radius * sample_sphere(camera.size, rng))
    away = normalise(surfaces.normals + sample_sphere(camera.size, rng))
    samples = reflect_lamp(surfaces, blocks, light, lamp=lamp, eye=-normalise(directions))
    samples += reflect_room(surfaces, blocks, light, away)
    width, height = camera.size
    grid = samples.reshape(height // SAMPLES, SAMPLES, width // SAMPLES, SAMPLES, 3)
    return grid.mean(axis=(1, 3))


def find_visible_surfaces(
    blocks: list[Block], origins: Array, directions: Array, rng: Rng
) -> Surfaces:
    """Returns the first surface points that rays [N, 3] hit."""
    distance, number = first_hit(blocks, origins, directions)
    on_block = np.isfinite(distance)
    distance = np.where(on_block, distance, -origins[:, 2] / directions[:, 2])
    points = origins + distance[:, None] * directions
    normals, colours = np.tile(UP, (len(points), 1)), np.empty_like(points)
    colours[~on_block] = table_colours(points[~on_block, :2], rng)
    darkness, grain = rng.uniform(0.4, 0.8), rng.uniform(0.02, 0.1)
    for i, block in enumerate(blocks):
        on_this_block = on_block & (number == i)
        normals[on_this_block], colour, groove = block.describe_surface(points[on_this_block])
        mottle = fractal_noise(
            points[on_this_block, :2] * [3, 5] + points[on_this_block, 2:] * [4, 1], rng, 3
        )
        colours[on_this_block] = colour * ((1 - darkness * groove) * (1 + grain * mottle))[:, None]
    return Surfaces(points, normals, colours, on_block)


def reflect_lamp(
    surfaces: Surfaces, blocks: list[Block], light: Light, *, lamp: Array, eye: Array
) -> Array:
    """Returns the diffuse and glossy reflection of the lamp, [N, 3].

    Args:
        surfaces: Surface points.
        blocks: Blocks that can cast shadows.
        light: Lamp.
        lamp: Unit vectors from the points to the lamp, [N, 3].
        eye: Unit vectors from the points to the camera, [N, 3].
    """
    lit = np.isinf(first_hit(blocks, surfaces.ray_origins, lamp)[0])
    matt = np.maximum((surfaces.normals * lamp).sum(axis=1), 0)
    shine = np.maximum((surfaces.normals * normalise(lamp + eye)).sum(axis=1), 0) ** 60
    glossy = light.gloss * surfaces.on_block * shine
    return (surfaces.colours * matt[:, None] + glossy[:, None]) * lit[:, None] * light.direct


def reflect_room(surfaces: Surfaces, blocks: list[Block], light: Light, away: Array) -> Array:
    """Returns the reflection of the light of the room, [N, 3].

    If the table or a block is in the way, it reflects half of the light, in its colour.

    Args:
        surfaces: Surface points.
        blocks: Blocks that can be in the way.
        light: Light of the room.
        away: Unit vectors from the points to the room, [N, 3].
    """
    distance, number = first_hit(blocks, surfaces.ray_origins, away)
    blocked = np.isfinite(distance)[:, None]
    block_colours = np.array([block.colours.mean(axis=(0, 1, 2)) for block in blocks])
    table_colour = surfaces.colours[~surfaces.on_block].mean(axis=0)
    below = np.where(blocked, block_colours[number], table_colour)
    room = np.where(blocked | (away[:, 2:] < 0), 0.5 * below, 1 + (away @ light.side)[:, None])
    return surfaces.colours * room * light.ambient


def sample_sphere(size: tuple[int, int], rng: Rng) -> Array:
    """Returns a random point on the unit sphere for each sample, [N, 3].

    The points of a pixel are spread evenly over the sphere, which reduces noise.
    """
    width, height = size
    row, column = np.indices((height, width)).reshape(2, -1) % SAMPLES
    z = 2 * (row + rng.random(row.size)) / SAMPLES - 1
    angle = 2 * np.pi * (column + rng.random(row.size)) / SAMPLES
    radius = np.sqrt(1 - z * z)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=1)

"""Base-ten counting blocks: cubes (ones), rods (tens) and flats (hundreds), and how they lie.

Lengths are in edges of a unit cube, angles in radians; z points up and the table is the plane
z = 0. Colours are linear RGB in [0, 1].
"""

import dataclasses
import functools

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
Rng = np.random.Generator

# The size of a class's block in cubes, and the most blocks that an image shows.
CATEGORIES = {"ones": ((1, 1, 1), 7), "tens": ((10, 1, 1), 6), "hundreds": ((10, 10, 1), 3)}
BEVEL = 0.07
COLOURS = "d9b380 c99a62 e2c79b e8b820 3c9a48 2f66b5 c8372f e07a28 7b4a9e dcd8cc"


@dataclasses.dataclass(frozen=True)
class Block:
    """A box that looks as if it were glued together from cubes with bevelled edges."""

    centre: Array  # [3]
    angle: float  # about the vertical axis
    colours: Array  # [length, width, height, 3], one a cube

    @property
    def size(self) -> Array:
        """The number of cubes [3] along each of its axes."""
        return np.array(self.colours.shape[:3])

    @property
    def corners(self) -> Array:
        """The eight corners, [8, 3]."""
        signs = np.argwhere(np.ones((2, 2, 2))) - 0.5
        return turned(signs * self.size, self.angle) + self.centre

    def moved(self, angle: float, shift: Array) -> "Block":
        """Returns the block turned about the origin's vertical axis, then shifted by [3]."""
        return Block(turned(self.centre, angle) + shift, self.angle + angle, self.colours)

    def distances(self, origins: Array, directions: Array) -> Array:
        """Returns where rays [N, 3] enter the box, in lengths of their direction [N], or inf."""
        inverse = 1 / turned(directions, -self.angle)
        middle = turned(self.centre - origins, -self.angle) * inverse
        reach = np.abs(inverse) * self.size / 2
        # max(axis=1) is so much slower that it would take half of the time of drawing.
        enter = functools.reduce(np.maximum, (middle - reach).T)
        leave = functools.reduce(np.minimum, (middle + reach).T)
        return np.where((enter < leave) & (leave > 0), enter, np.inf)

    def surface(self, points: Array) -> tuple[Array, Array, Array]:
        """Describes points [N, 3] on the box.

        Returns the unit normals [N, 3], which lean outwards on a bevel, the colours [N, 3], and
        how deep [N] in a groove between two cubes the points are, from 0 to 1.
        """
        place = turned(points - self.centre, -self.angle) + self.size / 2
        cube = np.clip(np.floor(place), 0, self.size - 1).astype(int)
        offset = place - cube - 0.5
        # 1 across the face that the point is on; along it 0, rising to 1 at the cube's edges.
        lean = np.clip((np.abs(offset) - 0.5) / BEVEL + 1, 0, 1)
        beside = cube + np.sign(offset)
        glued = (beside >= 0) & (beside < self.size)
        normals = turned(unit(np.sign(offset) * lean), self.angle)
        return normals, self.colours[tuple(cube.T)], (lean * glued).max(axis=1)


def unit(vectors: Array) -> Array:
    """Scales vectors [..., 3] to length 1."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def turned(points: Array, angle: float) -> Array:
    """Rotates points [..., 2 or 3] about the vertical axis."""
    # Not a product of matrices, which rounds otherwise where another BLAS computes it.
    cos, sin = np.cos(angle), np.sin(angle)
    x, y = points[..., 0], points[..., 1]
    result = points.copy()
    result[..., 0] = cos * x - sin * y
    result[..., 1] = sin * x + cos * y
    return result


def nearest(blocks: list[Block], origins: Array, directions: Array) -> tuple[Array, Indices]:
    """Returns the distance [N] to what rays [N, 3] hit first, and that block's number [N].

    The distance is in lengths of the direction, inf where a ray hits no block.
    """
    distances = np.array([block.distances(origins, directions) for block in blocks])
    return distances.min(axis=0), distances.argmin(axis=0)


def linear(colours: str) -> Array:
    """Turns "rrggbb rrggbb" into linear RGB [N, 3]."""
    return np.array([list(bytes.fromhex(colour)) for colour in colours.split()]) ** 2.2 / 255**2.2


def scattered(blocks: list[Block], rng: Rng) -> list[Block]:
    """Lays blocks down at random, none touching another."""
    placed: list[Block] = []
    reach = 0.0
    while len(placed) < len(blocks):
        shift = np.append(rng.uniform(-reach, reach, 2), 0)
        candidate = blocks[len(placed)].moved(rng.uniform(0, 2 * np.pi), shift)
        if all(apart(candidate, other) for other in placed):
            placed.append(candidate)
        reach += 0.1
    return placed


def apart(one: Block, other: Block) -> bool:
    """Tells whether no cube of one block can touch a cube of the other, seen from above."""
    gaps = cube_centres(one)[:, None, :2] - cube_centres(other)[None, :, :2]
    return bool(np.linalg.norm(gaps, axis=-1).min() > 1.5)


def cube_centres(block: Block) -> Array:
    """Returns the centres of the block's cubes, [N, 3]."""
    cubes = np.argwhere(np.ones(block.colours.shape[:3])) + 0.5 - block.size / 2
    return turned(cubes, block.angle) + block.centre


def in_a_row(blocks: list[Block], rng: Rng) -> list[Block]:
    """Lays blocks side by side with a gap, not quite aligned."""
    pitch = blocks[0].size[1] + rng.uniform(0.4, 1.4)
    shifts = [np.array([rng.normal(0, 0.2), i * pitch, 0]) for i in range(len(blocks))]
    return [
        block.moved(rng.normal(0, 0.02), shift) for block, shift in zip(blocks, shifts, strict=True)
    ]


def stacked(blocks: list[Block], rng: Rng) -> list[Block]:
    """Lays blocks on top of one another, each a little turned."""
    shifts = [np.append(rng.normal(0, 0.3, 2), i) for i in range(len(blocks))]
    return [
        block.moved(rng.normal(0, 0.1), shift) for block, shift in zip(blocks, shifts, strict=True)
    ]


def arrangement(class_id: str, rng: Rng) -> list[Block]:
    """Returns one to a few blocks of a class on the table."""
    size, most = CATEGORIES[class_id]
    palette = linear(COLOURS)
    colours = palette[rng.integers(len(palette), size=rng.integers(1, most + 1))]
    if rng.random() < 0.7:
        colours[:] = colours[0]
    blocks = [
        Block(np.array([0, 0, 0.5]), 0.0, colour * rng.normal(1, 0.04, (*size, 1)))
        for colour in colours
    ]
    layouts = [scattered, in_a_row, stacked][: 3 if class_id == "hundreds" else 2]
    layout = layouts[rng.integers(len(layouts))]
    angle = rng.uniform(0, 2 * np.pi)
    return [block.moved(angle, np.zeros(3)) for block in layout(blocks, rng)]

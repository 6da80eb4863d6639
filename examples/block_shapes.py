"""Base-ten counting blocks: cubes (ones), rods (tens) and flats (hundreds), and their positions.

The unit of length is the edge of a cube. Angles are in radians. z points up, and the table is the
plane z = 0. Colours are linear RGB in [0, 1].
"""

import dataclasses
import functools

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
Rng = np.random.Generator

# For each class, the size of a block in cubes and the maximum number of blocks in an image.
CLASSES = {"ones": ((1, 1, 1), 7), "tens": ((10, 1, 1), 6), "hundreds": ((10, 10, 1), 3)}
BEVEL = 0.07
COLOURS = "d9b380 c99a62 e2c79b e8b820 3c9a48 2f66b5 c8372f e07a28 7b4a9e dcd8cc"


@dataclasses.dataclass(frozen=True)
class Block:
    """A box that looks like bevelled cubes that are glued together."""

    centre: Array  # [3]
    angle: float  # Rotation about the vertical axis.
    colours: Array  # [length, width, height, 3], one for each cube.

    @property
    def size(self) -> Array:
        """Number of cubes along each axis, [3]."""
        return np.array(self.colours.shape[:3])

    @property
    def corners(self) -> Array:
        """Positions of the eight corners, [8, 3]."""
        signs = np.argwhere(np.ones((2, 2, 2))) - 0.5
        return rotate(signs * self.size, self.angle) + self.centre

    def rotate_and_shift(self, angle: float, shift: Array) -> "Block":
        """Rotates the block about the vertical axis through the origin, then shifts it by [3]."""
        return Block(rotate(self.centre, angle) + shift, self.angle + angle, self.colours)

    def distances(self, origins: Array, directions: Array) -> Array:
        """Returns the distance at which rays [N, 3] enter the box, or inf, [N].

        Distances are multiples of the length of the direction.
        """
        inverse = 1 / rotate(directions, -self.angle)
        middle = rotate(self.centre - origins, -self.angle) * inverse
        reach = np.abs(inverse) * self.size / 2
        # max(axis=1) is much slower: it would take half of the rendering time.
        enter = functools.reduce(np.maximum, (middle - reach).T)
        leave = functools.reduce(np.minimum, (middle + reach).T)
        return np.where((enter < leave) & (leave > 0), enter, np.inf)

    def describe_surface(self, points: Array) -> tuple[Array, Array, Array]:
        """Describes the surface of the box at points [N, 3].

        Returns the unit normals [N, 3], which are tilted on a bevel, the colours [N, 3], and the
        depth of the points in a groove between two cubes, from 0 to 1, [N].
        """
        place = rotate(points - self.centre, -self.angle) + self.size / 2
        cube = np.clip(np.floor(place), 0, self.size - 1).astype(int)
        offset = place - cube - 0.5
        # 1 perpendicular to the face. Along the face 0, rising to 1 at the edges of the cube.
        lean = np.clip((np.abs(offset) - 0.5) / BEVEL + 1, 0, 1)
        beside = cube + np.sign(offset)
        glued = (beside >= 0) & (beside < self.size)
        normals = rotate(normalise(np.sign(offset) * lean), self.angle)
        return normals, self.colours[tuple(cube.T)], (lean * glued).max(axis=1)


def normalise(vectors: Array) -> Array:
    """Scales vectors [..., 3] to length 1."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def rotate(points: Array, angle: float) -> Array:
    """Rotates points [..., 2 or 3] about the vertical axis."""
    # A matrix product would be rounded differently by different BLAS libraries.
    cos, sin = np.cos(angle), np.sin(angle)
    x, y = points[..., 0], points[..., 1]
    result = points.copy()
    result[..., 0] = cos * x - sin * y
    result[..., 1] = sin * x + cos * y
    return result


def first_hit(blocks: list[Block], origins: Array, directions: Array) -> tuple[Array, Indices]:
    """Returns the distance to the first block that rays [N, 3] hit, [N], and its index, [N].

    Distances are multiples of the length of the direction, and inf if a ray hits no block.
    """
    distances = np.array([block.distances(origins, directions) for block in blocks])
    return distances.min(axis=0), distances.argmin(axis=0)


def parse_colours(colours: str) -> Array:
    """Converts "rrggbb rrggbb ..." to linear RGB, [N, 3]."""
    return np.array([list(bytes.fromhex(colour)) for colour in colours.split()]) ** 2.2 / 255**2.2


def scatter(blocks: list[Block], rng: Rng) -> list[Block]:
    """Puts blocks at random positions where they do not touch."""
    placed: list[Block] = []
    reach = 0.0
    while len(placed) < len(blocks):
        shift = np.append(rng.uniform(-reach, reach, 2), 0)
        candidate = blocks[len(placed)].rotate_and_shift(rng.uniform(0, 2 * np.pi), shift)
        if all(are_separate(candidate, other) for other in placed):
            placed.append(candidate)
        reach += 0.1
    return placed


def are_separate(one: Block, other: Block) -> bool:
    """Returns whether the cubes of two blocks are too far apart to touch, seen from above."""
    gaps = locate_cubes(one)[:, None, :2] - locate_cubes(other)[None, :, :2]
    return bool(np.linalg.norm(gaps, axis=-1).min() > 1.5)


def locate_cubes(block: Block) -> Array:
    """Returns the centres of the cubes of a block, [N, 3]."""
    cubes = np.argwhere(np.ones(block.colours.shape[:3])) + 0.5 - block.size / 2
    return rotate(cubes, block.angle) + block.centre


def line_up(blocks: list[Block], rng: Rng) -> list[Block]:
    """Puts blocks side by side with gaps, slightly misaligned."""
    pitch = blocks[0].size[1] + rng.uniform(0.4, 1.4)
    shifts = [np.array([rng.normal(0, 0.2), i * pitch, 0]) for i in range(len(blocks))]
    return [
        block.rotate_and_shift(rng.normal(0, 0.02), shift)
        for block, shift in zip(blocks, shifts, strict=True)
    ]


def stack(blocks: list[Block], rng: Rng) -> list[Block]:
    """Puts blocks on top of each other, each slightly rotated."""
    shifts = [np.append(rng.normal(0, 0.3, 2), i) for i in range(len(blocks))]
    return [
        block.rotate_and_shift(rng.normal(0, 0.1), shift)
        for block, shift in zip(blocks, shifts, strict=True)
    ]


def arrange_blocks(class_name: str, rng: Rng) -> list[Block]:
    """Returns a random number of blocks of a class in a random arrangement on the table."""
    size, most = CLASSES[class_name]
    palette = parse_colours(COLOURS)
    colours = palette[rng.integers(len(palette), size=rng.integers(1, most + 1))]
    if rng.random() < 0.7:
        colours[:] = colours[0]
    blocks = [
        Block(np.array([0, 0, 0.5]), 0.0, colour * rng.normal(1, 0.04, (*size, 1)))
        for colour in colours
    ]
    layouts = [scatter, line_up, stack][: 3 if class_name == "hundreds" else 2]
    layout = layouts[rng.integers(len(layouts))]
    angle = rng.uniform(0, 2 * np.pi)
    return [block.rotate_and_shift(angle, np.zeros(3)) for block in layout(blocks, rng)]

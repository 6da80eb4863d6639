"""Textures of table tops: functions from points on the table to colours.

Each texture takes points [N, 2], where the unit of length is the edge of a cube, a base colour and
a second colour (linear RGB, [3]) and a random generator. It returns linear RGB, [N, 3].
"""

from collections.abc import Callable

import numpy as np

from examples.block_shapes import Array, Rng, parse_colours, rotate

Texture = Callable[[Array, Array, Array, Rng], Array]

LATTICE = 256
COLOURS = "b98a5a 7a5236 d8c3a0 e9e6df 9aa3a8 4f5b66 8a8f80 96604f 5f7a8c c4b184"
PAGE = np.array([0.80, 0.79, 0.74])
INK = np.array([0.35, 0.45, 0.65])


def value_noise(points: Array, rng: Rng) -> Array:
    """Returns smooth noise in [-1, 1] at points [N, 2], with details about one unit wide, [N]."""
    lattice = rng.uniform(-1, 1, (LATTICE, LATTICE))
    corner = np.floor(points)
    fraction = points - corner
    s, t = (fraction * fraction * (3 - 2 * fraction)).T
    x, y = corner.astype(int).T % LATTICE
    right, below = (x + 1) % LATTICE, (y + 1) % LATTICE
    near = lattice[x, y] * (1 - s) + lattice[right, y] * s
    far = lattice[x, below] * (1 - s) + lattice[right, below] * s
    return near * (1 - t) + far * t


def fractal_noise(points: Array, rng: Rng, octaves: int) -> Array:
    """Returns a sum of octaves of noise, [N]. Each has half the width and strength of the last."""
    return np.sum([value_noise(points * 2**i, rng) / 2**i for i in range(octaves)], axis=0)


def line_pattern(coordinate: Array, pitch: float, width: float) -> Array:
    """Returns 1 on parallel lines and 0 between them, [N]."""
    return (np.mod(coordinate, pitch) < width).astype(float)


def shade(colour: Array, factor: Array) -> Array:
    """Multiplies a colour [3] or [N, 3] by a factor [N]."""
    return colour * np.maximum(factor, 0)[:, None]


def blend(colour: Array, other: Array, share: Array) -> Array:
    """Blends two colours, each [3] or [N, 3]. `share` [N] is the share of the second."""
    return colour + (other - colour) * np.clip(share, 0, 1)[:, None]


def plain(points: Array, base: Array, second: Array, rng: Rng) -> Array:
    """A painted or laminated surface with faint stains and speckles."""
    stains = fractal_noise(points * 0.15, rng, 4)
    speckles = rng.uniform(0, 0.3) * np.maximum(value_noise(points * 9, rng) - 0.4, 0)
    return shade(blend(base, second, speckles), 1 + 0.05 * stains)


def wood(points: Array, base: Array, second: Array, rng: Rng) -> Array:
    """Planks with grain and dark joints."""
    width = rng.uniform(6, 18)
    plank = np.floor(points[:, 1] / width)
    shifted = points + np.stack([plank * 37.7, plank * 11.3], axis=1)
    rings = np.sin(9 * fractal_noise(shifted * [0.03, 0.3], rng, 2) + 1.5 * points[:, 1])
    grain = fractal_noise(shifted * [0.25, 6], rng, 3)
    tone = 1 + 0.10 * rings + 0.13 * grain + 0.10 * np.sin(plank * 12.9)
    joints = line_pattern(points[:, 1], width, 0.12)
    return shade(blend(base, 0.5 * second, 0.15 + 0.1 * rings), tone * (1 - 0.6 * joints))


def paper(points: Array, base: Array, second: Array, rng: Rng) -> Array:
    """A squared, ruled or blank page on a wooden table."""
    pitch = rng.choice([0.5, 0.8, 1.0])
    rows, columns = ((1, 1), (1, 0), (0, 0))[rng.integers(3)]
    ink = np.maximum(
        rows * line_pattern(points[:, 1], pitch, 0.04),
        columns * line_pattern(points[:, 0], pitch, 0.04),
    )
    page = shade(blend(PAGE, INK, 0.7 * ink), 1 + 0.02 * fractal_noise(points, rng, 2))
    edge = np.abs(points - rng.normal(0, 4, 2)) - rng.uniform(8, 16, 2)
    return blend(page, wood(points, base, second, rng), edge.max(axis=1) * 20)


def carpet(points: Array, base: Array, second: Array, rng: Rng) -> Array:
    """Carpet with tufts of two colours."""
    tufts = value_noise(points * 6, rng) + value_noise(points * 14, rng)
    patches = fractal_noise(points * 0.2, rng, 2)
    return shade(blend(base, second, 0.4 + 0.1 * patches + 0.3 * tufts), 0.9 + 0.2 * tufts)


def cloth(points: Array, base: Array, second: Array, rng: Rng) -> Array:
    """Woven cloth with crossing bands."""
    pitch = rng.uniform(2.5, 7)
    bands = (
        line_pattern(points[:, 0], pitch, pitch / 2) + line_pattern(points[:, 1], pitch, pitch / 2)
    ) / 2
    weave = np.sin(points * 25).sum(axis=1)
    folds = fractal_noise(points * 0.12, rng, 2)
    return shade(blend(base, second, bands), 1 + 0.04 * weave + 0.08 * folds)


TEXTURES: tuple[Texture, ...] = (plain, wood, wood, paper, carpet, cloth)


def table_colours(points: Array, rng: Rng) -> Array:
    """Returns the colours [N, 3] of a random table at points [N, 2]."""
    texture = TEXTURES[rng.integers(len(TEXTURES))]
    palette = parse_colours(COLOURS)
    base, other = palette[rng.choice(len(palette), 2, replace=False)]
    second = base + rng.uniform(0.2, 0.6) * (other - base)
    return texture(rotate(points, rng.uniform(0, 2 * np.pi)), base, second, rng)

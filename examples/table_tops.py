"""Table tops as textures: functions from points on the table to their colours.

Each takes points [N, 2] (in edges of a unit cube), a base colour and a second one (linear RGB [3])
and a random generator, and returns linear RGB [N, 3].
"""

from collections.abc import Callable

import numpy as np

from examples.block_shapes import Array, Rng, linear, turned

Texture = Callable[[Array, Array, Array, Rng], Array]

LATTICE = 256
COLOURS = "b98a5a 7a5236 d8c3a0 e9e6df 9aa3a8 4f5b66 8a8f80 96604f 5f7a8c c4b184"
PAGE = np.array([0.80, 0.79, 0.74])
INK = np.array([0.35, 0.45, 0.65])


def noise(points: Array, rng: Rng) -> Array:
    """Value noise at points [N, 2]: smooth, random in [-1, 1], details about one unit wide; [N]."""
    lattice = rng.uniform(-1, 1, (LATTICE, LATTICE))
    corner = np.floor(points)
    fraction = points - corner
    s, t = (fraction * fraction * (3 - 2 * fraction)).T
    x, y = corner.astype(int).T % LATTICE
    right, below = (x + 1) % LATTICE, (y + 1) % LATTICE
    near = lattice[x, y] * (1 - s) + lattice[right, y] * s
    far = lattice[x, below] * (1 - s) + lattice[right, below] * s
    return near * (1 - t) + far * t


def fractal(points: Array, rng: Rng, octaves: int) -> Array:
    """Sums noise of ever finer detail, each octave half as strong; [N]."""
    return np.sum([noise(points * 2**i, rng) / 2**i for i in range(octaves)], axis=0)


def lines(coordinate: Array, pitch: float, width: float) -> Array:
    """Returns 1 on lines of a width at every pitch, else 0; [N]."""
    return (np.mod(coordinate, pitch) < width).astype(float)


def shaded(colour: Array, factor: Array) -> Array:
    """Scales a colour [3] or [N, 3] by a factor [N]."""
    return colour * np.maximum(factor, 0)[:, None]


def mixed(colour: Array, other: Array, share: Array) -> Array:
    """Blends two colours, each [3] or [N, 3], by the share [N] of the second."""
    return colour + (other - colour) * np.clip(share, 0, 1)[:, None]


def plain(points: Array, base: Array, second: Array, rng: Rng) -> Array:
    """A painted or laminated top with faint stains and speckles."""
    stains = fractal(points * 0.15, rng, 4)
    speckles = rng.uniform(0, 0.3) * np.maximum(noise(points * 9, rng) - 0.4, 0)
    return shaded(mixed(base, second, speckles), 1 + 0.05 * stains)


def wood(points: Array, base: Array, second: Array, rng: Rng) -> Array:
    """Planks with grain along them and dark joints."""
    width = rng.uniform(6, 18)
    plank = np.floor(points[:, 1] / width)
    shifted = points + np.stack([plank * 37.7, plank * 11.3], axis=1)
    rings = np.sin(9 * fractal(shifted * [0.03, 0.3], rng, 2) + 1.5 * points[:, 1])
    grain = fractal(shifted * [0.25, 6], rng, 3)
    tone = 1 + 0.10 * rings + 0.13 * grain + 0.10 * np.sin(plank * 12.9)
    joints = lines(points[:, 1], width, 0.12)
    return shaded(mixed(base, 0.5 * second, 0.15 + 0.1 * rings), tone * (1 - 0.6 * joints))


def paper(points: Array, base: Array, second: Array, rng: Rng) -> Array:
    """A squared, ruled or blank page lying on a wooden top."""
    pitch = rng.choice([0.5, 0.8, 1.0])
    rows, columns = ((1, 1), (1, 0), (0, 0))[rng.integers(3)]
    ink = np.maximum(
        rows * lines(points[:, 1], pitch, 0.04), columns * lines(points[:, 0], pitch, 0.04)
    )
    page = shaded(mixed(PAGE, INK, 0.7 * ink), 1 + 0.02 * fractal(points, rng, 2))
    edge = np.abs(points - rng.normal(0, 4, 2)) - rng.uniform(8, 16, 2)
    return mixed(page, wood(points, base, second, rng), edge.max(axis=1) * 20)


def carpet(points: Array, base: Array, second: Array, rng: Rng) -> Array:
    """Tufts of two colours."""
    tufts = noise(points * 6, rng) + noise(points * 14, rng)
    patches = fractal(points * 0.2, rng, 2)
    return shaded(mixed(base, second, 0.4 + 0.1 * patches + 0.3 * tufts), 0.9 + 0.2 * tufts)


def cloth(points: Array, base: Array, second: Array, rng: Rng) -> Array:
    """A woven cloth with crossing bands."""
    pitch = rng.uniform(2.5, 7)
    bands = (lines(points[:, 0], pitch, pitch / 2) + lines(points[:, 1], pitch, pitch / 2)) / 2
    weave = np.sin(points * 25).sum(axis=1)
    folds = fractal(points * 0.12, rng, 2)
    return shaded(mixed(base, second, bands), 1 + 0.04 * weave + 0.08 * folds)


TEXTURES: tuple[Texture, ...] = (plain, wood, wood, paper, carpet, cloth)


def table_top(points: Array, rng: Rng) -> Array:
    """Returns a random table's colours [N, 3] at points [N, 2]."""
    texture = TEXTURES[rng.integers(len(TEXTURES))]
    palette = linear(COLOURS)
    base, other = palette[rng.choice(len(palette), 2, replace=False)]
    second = base + rng.uniform(0.2, 0.6) * (other - base)
    return texture(turned(points, rng.uniform(0, 2 * np.pi)), base, second, rng)

"""Measures whether heat maps find an object in a photo.

    bazel run //tests/benchmarks:heat_maps -- --photo_dir=DIR --foreign_dir=ANOTHER

Trains a classifier with the default flags that tells photos with counting blocks from photos
without. The training images are photos in DIR; an image of examples/blocks is pasted on every
second one, at a random place and in a random size. The classifier is not told where. Then other
images of blocks are pasted on photos in ANOTHER, of which the classifier has seen none, and the
program counts the heat maps whose maximum is within the pasted image. A heat map has no parameters,
so nothing is chosen on these photos.
"""

import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import flags
from PIL import Image

from label_image.classifier import Classifier
from retrain.data import image_reader, pixels
from retrain.data.file_kinds import EXTENSIONS
from retrain.errors import UserError
from retrain.heat_maps.heat_maps import HeatMaps
from retrain.heat_maps.upsampling import upsample
from retrain.system.files.user_paths import user_path
from retrain.system.program import command_line
from tests.benchmarks import timed_process

_PHOTO_DIR = flags.DEFINE_string("photo_dir", None, "Folder of photos to train with.")
_FOREIGN_DIR = flags.DEFINE_string("foreign_dir", None, "Folder of photos to test with.")
_SEEDS = flags.DEFINE_integer("seeds", 3, "Number of classifiers.", lower_bound=1)

_BLOCKS = Path("examples/blocks")
_WITH, _WITHOUT = "blocks", "no_blocks"
_TRAINING_PHOTOS, _TEST_PHOTOS = 700, 100
_SIDE = 448
# Longer side of the pasted image, as a share of the side of the photo.
_TRAINING_SHARES = (0.25, 0.6)
_TEST_SHARES = (0.5, 0.35, 0.25)


class _Pasted(NamedTuple):
    """A photo with an image pasted on it.

    Attributes:
        image: The photo, square.
        box: Left, upper, right and lower bound of the pasted image in pixels.
    """

    image: Image.Image
    box: tuple[int, int, int, int]


def main(_: list[str]) -> None:
    """Prints a row for each size of the pasted images."""
    if not (_PHOTO_DIR.value and _FOREIGN_DIR.value):
        raise UserError("--photo_dir and --foreign_dir are required: two folders of photos")
    photos, foreign = (_find(user_path(d)) for d in (_PHOTO_DIR.value, _FOREIGN_DIR.value))
    all_blocks = _find(_BLOCKS)
    hits: dict[float, list[int]] = {share: [] for share in _TEST_SHARES}
    for seed in range(_SEEDS.value):
        rng = np.random.default_rng(seed)
        blocks = [all_blocks[i] for i in rng.permutation(len(all_blocks))]
        known, new = blocks[: len(blocks) * 2 // 3], blocks[len(blocks) * 2 // 3 :]
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            _write_training_images(folder / "images", photos, known, rng)
            timed_process.run_retrain(folder / "images", folder)
            classifier = Classifier(folder / "graph.pb")
            for share in _TEST_SHARES:
                hits[share].append(_count_hits(classifier, foreign, new, share=share, rng=rng))
    for share, counts in hits.items():
        print(
            f"longer side {100 * share:.0f} % of the photo's: the maximum is within the pasted "
            f"image in {', '.join(map(str, counts))} of {_TEST_PHOTOS} photos"
        )


def _find(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix[1:].lower() in EXTENSIONS)


def _write_training_images(
    folder: Path, photos: list[Path], blocks: list[Path], rng: np.random.Generator
) -> None:
    for name in (_WITH, _WITHOUT):
        (folder / name).mkdir(parents=True)
    for number, index in enumerate(rng.permutation(len(photos))[:_TRAINING_PHOTOS]):
        if number % 2:
            name, image = _WITHOUT, _decode(photos[index])
        else:
            block = blocks[rng.integers(len(blocks))]
            pasted = _paste(photos[index], block, float(rng.uniform(*_TRAINING_SHARES)), rng)
            name, image = _WITH, pasted.image
        image.save(folder / name / f"{number}.jpg", quality=92)


def _count_hits(
    classifier: Classifier,
    photos: list[Path],
    blocks: list[Path],
    *,
    share: float,
    rng: np.random.Generator,
) -> int:
    heat_maps, decoding = HeatMaps(classifier.runtime), classifier.decoding
    label = classifier.labels.index(_WITH)
    hits = 0
    for index in rng.choice(len(photos), _TEST_PHOTOS, replace=False):
        image, box = _paste(photos[index], blocks[rng.integers(len(blocks))], share, rng)
        network_input = pixels.resize(image, decoding.height, decoding.width)
        (heat_map,) = heat_maps.compute(network_input[np.newaxis], np.array([label]))
        large = upsample(heat_map, _SIDE, _SIDE)
        row, column = np.unravel_index(large.argmax(), large.shape)
        hits += bool(box[0] <= column < box[2] and box[1] <= row < box[3])
    return hits


def _paste(photo: Path, block: Path, share: float, rng: np.random.Generator) -> _Pasted:
    image, pasted = _decode(photo), Image.open(block).convert("RGB")
    scale = share * _SIDE / max(pasted.size)
    width, height = (round(scale * side) for side in pasted.size)
    left = int(rng.integers(_SIDE - width + 1))
    top = int(rng.integers(_SIDE - height + 1))
    image.paste(pasted.resize((width, height), Image.Resampling.LANCZOS), (left, top))
    return _Pasted(image, (left, top, left + width, top + height))


def _decode(photo: Path) -> Image.Image:
    return Image.fromarray(pixels.decode(image_reader.read(photo), _SIDE, _SIDE))


if __name__ == "__main__":
    command_line.run(main, __doc__)

"""Measures how well familiarity tells images of the classes from images of other things.

    RETRAIN_DATA=DIR bazel run //tests/benchmarks:familiarity

Data sets: heroes, signs and cats_dogs in DIR, and examples/blocks. Each is split as a run splits it
by default, and the familiarity is fitted as in a run. Far: each data set against all images of the
others; its images are held out in five folds, and the means of the folds are printed. Near: each
class is left out of a data set in turn, and is what the familiarity and the best softmax score are
to recognise as unknown. Variation: the images of heroes/test and of the test split of signs as they
are, stored again at JPEG quality 40, at half the size, 20 % darker, and all three. An image is
accepted if its familiarity is at least 0.05, or if its score is at least that of 95 % of the images
of the classes.
"""

import dataclasses
import functools
import io
import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from retrain.backbones import efficientnet_lite0, engines
from retrain.backbones.backbone import Backbone
from retrain.bottlenecks.compute import compute_bottlenecks
from retrain.bottlenecks.features import Bottlenecks, SplitFeatures
from retrain.bottlenecks.reduced_features import ReducedCopies, compute_reduced
from retrain.config import SplitOptions, TrainingConfig
from retrain.data import pixels
from retrain.data.dataset import scan_dataset
from retrain.data.groups import number_groups
from retrain.data.splits import TEST
from retrain.errors import UserError
from retrain.runtimes import familiarity_packing
from retrain.runtimes.familiarity import Familiarity
from retrain.runtimes.head import Head
from retrain.runtimes.runtime import Runtime
from retrain.system.batches import batches
from retrain.system.processors import processor_count
from retrain.system.program import command_line
from retrain.system.threads import parallel_map
from retrain.training.familiarity_fit import fit_familiarity, train_familiarity
from retrain.training.familiarity_model import LabeledFeatures
from retrain.training.folds import assign_folds
from retrain.training.head_training import train_head

_LIMIT = 0.05
_BLOCKS = Path(__file__).parents[2] / "examples" / "blocks"
_FOLDS = 5
_QUALITY, _DARKER = 40, 0.8


def main(_: list[str]) -> None:
    """Prints the tables."""
    data = os.environ.get("RETRAIN_DATA")
    if not data:
        raise UserError("RETRAIN_DATA is not set; set it to the folder with the data sets")
    folders = {
        "heroes": Path(data) / "heroes" / "train",
        "signs": Path(data) / "signs",
        "cats_dogs": Path(data) / "cats_dogs",
        "blocks": _BLOCKS,
    }
    backbone = efficientnet_lite0.load()
    with tempfile.TemporaryDirectory() as temporary:
        cache = Path(temporary)
        sets = {
            name: compute_bottlenecks(
                scan_dataset(folder, SplitOptions()), backbone, engines.AUTO, cache
            )
            for name, folder in folders.items()
        }
        fitted = {name: _fit(features, backbone, cache, name) for name, features in sets.items()}
        _measure_far(sets, backbone, cache)
        _measure_near(sets, backbone, cache)
        others = sorted((Path(data) / "heroes" / "test").iterdir())
        signs = [image.path for image in sets["signs"].split(TEST).images]
        with engines.create(engines.FLOAT32, backbone) as engine:
            network = engine.load()
            print("Variation: accepted")
            _measure_variation("heroes/test", others, fitted["heroes"], network)
            _measure_variation("signs", signs, fitted["signs"], network)


def _fit(features: Bottlenecks, backbone: Backbone, cache: Path, name: str) -> Familiarity:
    # The features of the copies are in the cache after the first time.
    train_familiarity(backbone, features, cache)
    start, cpu = time.monotonic(), time.process_time()
    familiarity = train_familiarity(backbone, features, cache)
    seconds, cpu = time.monotonic() - start, time.process_time() - cpu
    assert familiarity is not None
    size = len(json.dumps(familiarity_packing.pack(familiarity)))
    print(
        f"{name}: {len(features.dataset.images):,} images, {len(features.dataset.labels)} classes; "
        f"{seconds:.2f} s ({cpu:.2f} s of processor time), {size:,} bytes",
        flush=True,
    )
    return familiarity


def _measure_far(sets: Mapping[str, Bottlenecks], backbone: Backbone, cache: Path) -> None:
    print("Far: own images accepted; AUROC, and accepted images of the other data set")
    all_vectors = {
        name: np.concatenate([split.vectors for split in features.splits.values()])
        for name, features in sets.items()
    }
    for name, features in sets.items():
        splits = features.splits.values()
        images = [image for split in splits for image in split.images]
        class_ids = np.concatenate([split.class_ids for split in splits])
        groups = number_groups(images)
        copied, copies = compute_reduced(features, images, backbone, cache)
        folds = assign_folds(class_ids, groups, _FOLDS, seed=0)
        rows: dict[str, list[tuple[float, float]]] = {}
        for fold in range(_FOLDS):
            training = np.flatnonzero(folds != fold)
            usable = folds[copied] != fold
            familiarity = fit_familiarity(
                [LabeledFeatures(all_vectors[name][training], class_ids[training])],
                groups[training],
                ReducedCopies(np.searchsorted(training, copied[usable]), copies[usable]),
                class_count=len(features.dataset.labels),
            )
            assert familiarity is not None
            known = familiarity.scores(all_vectors[name][folds == fold])
            for other, vectors in all_vectors.items():
                scores = known if other == name else familiarity.scores(vectors)
                rows.setdefault(other, []).append(
                    (_auroc(known, scores), 100 * float((scores >= _LIMIT).mean()))
                )
        means = {other: np.mean(values, axis=0) for other, values in rows.items()}
        columns = [f"own {means.pop(name)[1]:.1f} %"]
        columns += [f"{other} {auroc:.4f} {part:.2f} %" for other, (auroc, part) in means.items()]
        print(f"  {name:10} {'; '.join(columns)}", flush=True)


def _measure_near(sets: Mapping[str, Bottlenecks], backbone: Backbone, cache: Path) -> None:
    print("Near: AUROC and accepted, by familiarity and by softmax")
    for name, features in sets.items():
        class_count = len(features.dataset.labels)
        if class_count < 3:
            continue
        rows = []
        for left_out in range(class_count):
            reduced = _without_class(features, left_out)
            familiarity = train_familiarity(backbone, reduced, cache)
            assert familiarity is not None
            config = TrainingConfig(image_dir=Path(), bottleneck_dir=cache)
            head = train_head(config, backbone, reduced).head
            known = reduced.split(TEST).vectors
            unknown = np.concatenate(
                [split.vectors[split.class_ids == left_out] for split in features.splits.values()]
            )
            methods: list[tuple[Callable[[np.ndarray], np.ndarray], float | None]] = [
                (familiarity.scores, _LIMIT),
                (functools.partial(_best_scores, head), None),
            ]
            for score, fixed in methods:
                limit = np.quantile(score(known), 0.05) if fixed is None else fixed
                rows += [
                    _auroc(score(known), score(unknown)),
                    float((score(unknown) >= limit).mean()),
                ]
        auroc, accepted, softmax_auroc, softmax_accepted = np.reshape(rows, (-1, 4)).mean(axis=0)
        print(
            f"  {name:10} familiarity {auroc:.3f} {100 * accepted:.0f} %; softmax "
            f"{softmax_auroc:.3f} {100 * softmax_accepted:.0f} %",
            flush=True,
        )


def _best_scores(head: Head, vectors: np.ndarray) -> np.ndarray:
    return head.probabilities(vectors).max(axis=1)


def _without_class(features: Bottlenecks, class_id: int) -> Bottlenecks:
    dataset = features.dataset
    names = [i for i in range(len(dataset.labels)) if i != class_id]
    splits = {}
    for name, split in features.splits.items():
        kept = split.take(np.flatnonzero(split.class_ids != class_id))
        class_ids = np.searchsorted(names, kept.class_ids)
        splits[name] = SplitFeatures(kept.images, kept.variants, class_ids)
    reduced = dataclasses.replace(
        dataset,
        labels=tuple(dataset.labels[i] for i in names),
        folders=tuple(dataset.folders[i] for i in names),
    )
    return dataclasses.replace(features, dataset=reduced, splits=splits)


def _measure_variation(
    name: str, paths: Sequence[Path], familiarity: Familiarity, network: Runtime
) -> None:
    height, width = 224, 224

    def features(batch: list[bytes]) -> np.ndarray:
        return network.run(np.stack([pixels.decode(data, height, width) for data in batch]))

    contents = [path.read_bytes() for path in paths]
    columns = []
    for label, change in {
        "as they are": lambda data: data,
        f"quality {_QUALITY}": lambda data: _change(data, quality=_QUALITY),
        "half size": lambda data: _change(data, scale=0.5),
        "darker": lambda data: _change(data, brightness=_DARKER),
        "all three": lambda data: _change(data, _QUALITY, scale=0.5, brightness=_DARKER),
    }.items():
        changed = (change(data) for data in contents)
        vectors = parallel_map(features, batches(changed, 8), processor_count())
        accepted = 100 * (familiarity.scores(np.concatenate(list(vectors))) >= _LIMIT).mean()
        columns.append(f"{label} {accepted:.0f} %")
    print(f"  {name:12} {len(paths)} images: {', '.join(columns)}", flush=True)


def _change(
    data: bytes, quality: int = 95, *, scale: float = 1.0, brightness: float = 1.0
) -> bytes:
    with Image.open(io.BytesIO(data)) as opened:
        image = opened.convert("RGB")
    size = [max(1, round(side * scale)) for side in image.size]
    image = image.resize((size[0], size[1]), Image.Resampling.BILINEAR)
    levels = [round(level * brightness) for level in range(256)]
    buffer = io.BytesIO()
    image.point(levels * 3).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _auroc(known: np.ndarray, unknown: np.ndarray) -> float:
    """Returns the probability that a known image has a larger score than an unknown one."""
    from scipy.stats import rankdata

    ranks = rankdata(np.concatenate([known, unknown]))[: len(known)].sum()
    smallest = len(known) * (len(known) + 1) / 2
    return float((ranks - smallest) / (len(known) * len(unknown)))


if __name__ == "__main__":
    command_line.run(main, __doc__)

"""Measures how many planted problems the data check finds, and how long it takes.

    bazel run //tests/benchmarks:check_images -- --image_dir=DIR

It exchanges 5 % of the labels in DIR (the mean of five seeds is printed), plants 100 near-copies,
and checks 50,000 made-up images whose facts and features are in the cache already. If
--yardsticks names a folder, cleanlab and cleanvision are measured on the same labels, features and
copies:

    pip install --target=/tmp/yardsticks cleanvision cleanlab scikit-learn
    bazel run //tests/benchmarks:check_images -- --image_dir=DIR --yardsticks=/tmp/yardsticks
"""

import hashlib
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from retrain.backbones import engines, registry
from retrain.bottlenecks.file_version import FileVersion
from retrain.bottlenecks.recipes import Recipes
from retrain.bottlenecks.store import open_store
from retrain.bottlenecks.traits_cache import put_traits
from retrain.config import BackboneOptions, SplitOptions
from retrain.data.dataset import Dataset, scan_dataset
from retrain.data.image_traits import TRAITS
from retrain.data_check import facts_table, image_facts, label_errors, near_duplicates
from retrain.data_check.near_duplicate_groups import group_near_duplicates
from retrain.system.batches import batches
from retrain.system.files.user_paths import user_path
from retrain.system.program import command_line
from retrain.training_options import NO_DISTORTIONS
from tests.benchmarks import check_yardsticks, planted_problems
from tools.check.data_check import CheckOptions, check_dataset
from tools.check.dataset_features import load_features

_IMAGE_DIR = flags.DEFINE_multi_string(
    "image_dir", [], "Folder with a sub-folder of images for each class."
)
_IMAGES = flags.DEFINE_integer("images", 50_000, "Number of cached images; 0 for none.")
_YARDSTICKS = flags.DEFINE_string("yardsticks", None, "Folder with cleanlab and cleanvision.")
_SEEDS = flags.DEFINE_integer("seeds", 5, "Number of seeds for the exchanged labels.")

_SHARE = 0.05
_COPIES = 100
_CLASSES = 10


def main(_: list[str]) -> None:
    """Runs the benchmark."""
    with tempfile.TemporaryDirectory() as folder:
        for typed in _IMAGE_DIR.value:
            dataset = scan_dataset(user_path(typed), SplitOptions())
            print(f"{typed}: {len(dataset.images):,} images", flush=True)
            features = _features(dataset, Path(folder))
            _measure_labels(dataset, features, Path(folder))
            _measure_copies(dataset, Path(folder))
    if _IMAGES.value:
        _measure_many(_IMAGES.value)


def _features(dataset: Dataset, cache: Path) -> np.ndarray:
    loaded = load_features(
        dataset.images,
        range(len(dataset.images)),
        registry.resolve(BackboneOptions(), cache),
        engine=engines.AUTO,
        cache_dir=cache,
        compute=True,
    )
    return loaded.vectors


def _measure_labels(dataset: Dataset, features: np.ndarray, folder: Path) -> None:
    true_ids = np.array([image.class_id for image in dataset.images])
    rows: dict[str, list[tuple[float, float, float, float]]] = {}
    for seed in range(_SEEDS.value):
        class_ids, is_wrong = planted_problems.exchange_labels(true_ids, _SHARE, seed)
        start = time.monotonic()
        scores = label_errors.score_labels(features, class_ids, len(dataset.labels))
        seconds = time.monotonic() - start
        flagged = scores.margins < label_errors.PROBABLY_WRONG
        rows.setdefault("check_images", []).append(
            (*_rates(scores.margins, flagged, is_wrong), seconds)
        )
        if _YARDSTICKS.value:
            file = folder / "labels.npz"
            np.savez(file, features=features, class_ids=class_ids)
            found = _run_yardstick("labels", file)
            rates = _rates(np.array(found["scores"]), np.array(found["flagged"]), is_wrong)
            rows.setdefault("cleanlab", []).append((*rates, found["seconds"]))
    print(f"  {100 * _SHARE:.0f} % of the labels exchanged, mean of {_SEEDS.value} seeds")
    for name, values in rows.items():
        top, precision, recall, seconds = np.mean(values, axis=0)
        print(
            f"    {name:18} top {100 * _SHARE:.0f} %: {top:.3f} planted; flagged: precision "
            f"{precision:.2f}, recall {recall:.2f}; {seconds:.1f} s",
            flush=True,
        )


def _rates(
    scores: np.ndarray, flagged: np.ndarray, is_wrong: np.ndarray
) -> tuple[float, float, float]:
    """Returns the share of planted labels at the top, and precision and recall of the flags."""
    top = np.argsort(scores, kind="stable")[: is_wrong.sum()]
    precision = is_wrong[flagged].mean() if flagged.any() else 1.0
    return float(is_wrong[top].mean()), float(precision), float(flagged[is_wrong].mean())


def _measure_copies(dataset: Dataset, folder: Path) -> None:
    originals = [image.path for image in dataset.images]
    count = min(_COPIES, len(originals))
    copies_folder = Path(tempfile.mkdtemp(dir=folder))
    planted = planted_problems.plant_copies(originals, count, copies_folder, seed=0)
    paths = originals + [copy for _, copy in planted]
    with open_store(folder) as store:
        table = facts_table.measure_all(paths, store)
    start = time.monotonic()
    found = near_duplicates.find(table.facts["thumbnail"])
    seconds = time.monotonic() - start
    pairs = [(str(paths[a]), str(paths[b])) for a, b in found.pairs.tolist()]
    _print_copies("check_images", pairs, planted, seconds)
    if _YARDSTICKS.value:
        file = folder / "files.json"
        file.write_text(json.dumps(list(map(str, paths))))
        result = _run_yardstick("copies", file)
        groups = (itertools.combinations(sorted(group), 2) for group in result["groups"])
        pairs = [pair for group in groups for pair in group]
        _print_copies("cleanvision", pairs, planted, result["seconds"])


def _print_copies(
    name: str,
    pairs: Sequence[tuple[str, str]],
    planted: Sequence[tuple[Path, Path]],
    seconds: float,
) -> None:
    wanted = {frozenset(map(str, pair)) for pair in planted}
    found = {frozenset(pair) for pair in pairs}
    print(
        f"    {name:18} {len(found & wanted)} of {len(wanted)} planted copies; "
        f"{len(found - wanted)} other pairs; {seconds:.1f} s",
        flush=True,
    )
    for pair in sorted(map(sorted, found - wanted))[: _COPIES // 10]:
        print(f"      {' = '.join(pair)}", flush=True)


def _run_yardstick(task: str, file: Path) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": str(user_path(_YARDSTICKS.value or ""))}
    command = [sys.executable, check_yardsticks.__file__, task, str(file)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def _measure_many(count: int) -> None:
    """Checks made-up images in ten classes, whose facts and features are in the cache."""
    with tempfile.TemporaryDirectory() as typed:
        folder = Path(typed)
        _make_cached_images(folder, count)
        options = CheckOptions(
            image_dir=folder / "images",
            split=SplitOptions(),
            bottleneck_dir=folder / "cache",
            backbone=BackboneOptions(),
            engine=engines.FLOAT32,
            compute_features=False,
        )
        for task in ("grouped", "grouped again"):
            start, cpu = time.monotonic(), time.process_time()
            _group(options)
            print(
                f"{count:,} cached images {task}: {time.monotonic() - start:.1f} s, "
                f"{time.process_time() - cpu:.1f} s of processor time",
                flush=True,
            )
        start, cpu = time.monotonic(), time.process_time()
        result = check_dataset(options)
        seconds, cpu_seconds = time.monotonic() - start, time.process_time() - cpu
    assert result.feature_count == count, "all features are in the cache"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(
        f"{count:,} cached images: {seconds:.1f} s, {cpu_seconds:.1f} s of processor time; peak "
        f"memory {peak:,} MB"
    )


def _group(options: CheckOptions) -> None:
    """Groups the images as a training does."""
    dataset = scan_dataset(options.image_dir, options.split)
    paths = [image.path for image in dataset.images]
    with open_store(options.bottleneck_dir) as store:
        digests = store.get_digests([FileVersion.of(path) for path in paths])
        known = {path: digest for path, digest in zip(paths, digests, strict=True) if digest}
        group_near_duplicates(dataset, known, store, cache_dir=options.bottleneck_dir)


def _make_cached_images(folder: Path, count: int) -> None:
    """Writes files without pixels, and what the cache would have for images in their place."""
    rng = np.random.default_rng(0)
    backbone = registry.resolve(BackboneOptions(), folder / "cache")
    with engines.create(engines.FLOAT32, backbone) as engine:
        recipe = Recipes.build(engine.recipe, NO_DISTORTIONS).undistorted
    centres = rng.standard_normal((_CLASSES, backbone.feature_width))
    for class_id in range(_CLASSES):
        (folder / "images" / f"class {class_id}").mkdir(parents=True)
    with open_store(folder / "cache") as store:
        for numbers in batches(range(count), 5000):
            versions, facts, traits, vectors = [], [], [], []
            for number in numbers:
                class_id = number % _CLASSES
                file = folder / "images" / f"class {class_id}" / f"{number}.jpg"
                file.write_text(f"image {number}")
                digest = hashlib.sha256(file.read_bytes()).digest()
                versions.append((FileVersion.from_stat(file.stat()), digest))
                facts.append((digest, _make_facts(rng)))
                traits.append((digest, _make_traits(facts[-1][1])))
                noise = rng.standard_normal(backbone.feature_width)
                vector = np.maximum(centres[class_id] + noise, 0).astype(np.float16)
                vectors.append((digest, 0, vector))
            store.put_digests(versions)
            facts_table.put_facts(store, facts)
            put_traits(store, traits)
            store.put_vectors(recipe, vectors)


def _make_facts(rng: np.random.Generator) -> np.ndarray:
    facts = np.zeros((), image_facts.FACTS)
    facts["width"], facts["height"], facts["format"] = 640, 480, 1
    facts["light_level"], facts["brightest"], facts["sharpness"] = 220, 250, 0.3
    coarse = rng.integers(0, 200, (4, 4)).repeat(8, axis=0).repeat(8, axis=1)
    facts["thumbnail"] = coarse + rng.integers(0, 50, coarse.shape)
    return facts


def _make_traits(facts: np.ndarray) -> np.ndarray:
    traits = np.zeros((), TRAITS)
    traits["thumbnail"] = facts["thumbnail"]
    return traits


if __name__ == "__main__":
    command_line.run(main, __doc__)

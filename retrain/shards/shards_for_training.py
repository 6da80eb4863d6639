"""Prepares a training whose bottlenecks are in shards."""

import dataclasses
import logging
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from retrain.backbones import engines
from retrain.backbones.backbone import Backbone
from retrain.config import TrainingConfig
from retrain.data.dataset import Dataset, split_folders
from retrain.errors import UserError
from retrain.shards import merging, shard_files
from retrain.shards.storage import Storage
from retrain.training.engine_plan import EnginePlan


def merge(
    config: TrainingConfig, backbones: Sequence[Backbone], dataset: Dataset, plan: EnginePlan
) -> EnginePlan:
    """Copies the bottlenecks in the shards of a training, if it has any, to the cache.

    Args:
        config: Configuration of the run.
        backbones: The backbone that computes features, or several to compare.
        dataset: All images.
        plan: The engines to use without shards.

    Returns:
        The engines to use: that of the shards, unless the user chose one.

    Raises:
        UserError: If the shards are those of another backbone or engine, or cannot be read.
    """
    if config.shards is None:
        return plan
    storage = Storage(config.shards, "bottleneck_dir")
    if len(backbones) > 1:
        raise UserError(
            f"--bottleneck_dir={storage.url} has the bottlenecks of one network, but several are "
            "to be compared; name one --architecture, or choose another --bottleneck_dir"
        )
    (backbone,) = backbones
    names = shard_files.find_shards(storage)
    if not names:
        raise UserError(
            f"--bottleneck_dir={storage.url} has no bottlenecks; fill it with "
            "//tools:cache_bottlenecks, or use a local folder"
        )
    description = merging.read_folder_description(storage, names)
    merging.check_backbone(storage, description, backbone)
    if config.engine not in (engines.AUTO, engines.INT8, description.engine):
        raise UserError(
            f"--engine={config.engine} cannot use the bottlenecks in --bottleneck_dir="
            f"{storage.url}, which engine {description.engine} computed; leave out --engine, or "
            "choose another --bottleneck_dir"
        )
    copied = merging.merge_shards(
        storage,
        merging.describe(backbone, description.engine),
        found=description,
        paths=_paths_by_name(config, dataset),
        cache_dir=config.bottleneck_dir,
    )
    logging.info(
        "Bottlenecks of engine %s in %s: %d files, %s copied to the cache.",
        description.engine,
        storage.url,
        len(names),
        f"{copied:,} bottlenecks",
    )
    return dataclasses.replace(plan, primary=description.engine)


def _paths_by_name(config: TrainingConfig, dataset: Dataset) -> dict[str, list[Path]]:
    """Returns the files of the data set by their path relative to the folder of a flag."""
    folders = [dataset.image_dir, *split_folders(config.split).values()]
    roots = [os.path.join(folder, "") for folder in folders]  # noqa: PTH118 (with a slash at the end)
    paths: dict[str, list[Path]] = defaultdict(list)
    for image in dataset.images:
        # Paths take ten times as long to compare as texts, and there can be millions.
        text = os.fspath(image.path)
        for root in roots:
            if text.startswith(root):
                paths[text.removeprefix(root).replace(os.sep, "/")].append(image.path)
    return paths

"""Runs all checks of a data set."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from retrain.backbones import engines, registry
from retrain.bottlenecks.store import open_store
from retrain.config import NEAR_DUPLICATES, BackboneOptions, SplitOptions
from retrain.data import folder_checks, folders
from retrain.data.dataset import Dataset, build_dataset, split_folders
from retrain.data.splits import check_options
from retrain.data_check import facts_table, feature_neighbours, last_check, near_duplicates
from retrain.data_check.findings import KINDS, Finding
from retrain.data_check.near_duplicate_groups import group_near_duplicates
from retrain.errors import UserError
from tools.check import class_checks, feature_checks, group_checks, image_checks
from tools.check.dataset_features import DatasetFeatures, load_features


@dataclass(frozen=True, kw_only=True)
class CheckOptions:
    """What to check, and how.

    Attributes:
        image_dir: Folder with a sub-folder of images for each class.
        split: How the images are split.
        bottleneck_dir: Folder of the cache.
        backbone: Pretrained network that computes the features.
        engine: Name of the engine that runs it.
        compute_features: Whether to compute features that are not in the cache.
        strict: Whether an unreadable image is an error.
    """

    image_dir: Path
    split: SplitOptions
    bottleneck_dir: Path
    backbone: BackboneOptions
    engine: str
    compute_features: bool = True
    strict: bool = False


@dataclass(frozen=True)
class CheckResult:
    """What a check found.

    Attributes:
        dataset: The data set.
        findings: Findings, from the most to the least urgent kind.
        readable_count: Number of images that can be read.
        feature_count: Number of images whose features were used.
    """

    dataset: Dataset
    findings: tuple[Finding, ...]
    readable_count: int
    feature_count: int

    def count(self) -> Counter[str]:
        """Returns the number of findings of each kind, from the most urgent kind on."""
        return Counter(finding.kind for finding in self.findings)

    def of_kind(self, kind: str) -> list[Finding]:
        """Returns the findings of a kind, the most important ones first."""
        return [finding for finding in self.findings if finding.kind == kind]

    def name_image(self, index: int) -> str:
        """Returns the path of an image relative to the image folder, if it is in there."""
        path = self.dataset.images[index].path
        if path.is_relative_to(self.dataset.image_dir):
            return str(path.relative_to(self.dataset.image_dir))
        return str(path)


def check_dataset(options: CheckOptions) -> CheckResult:
    """Checks a data set. Changes nothing except the cache, which also keeps the summary.

    Raises:
        UserError: If the folder has no images, an option or the cache cannot be used, or an image
            cannot be read and `strict` is set.
    """
    dataset = _list(options)
    paths = [image.path for image in dataset.images]
    with open_store(options.bottleneck_dir) as store:
        table = facts_table.measure_all(paths, store)
    if options.strict and table.problems:
        first = min(table.problems)
        raise UserError(
            f"{paths[first]} cannot be read: {table.problems[first]}; repair or remove it, or run "
            "without --strict"
        )
    readable = [index for index in range(len(paths)) if index not in table.problems]
    features = _features(dataset, readable, options)
    dataset = _group(dataset, readable, table.digests, options)
    groups = group_checks.group_by_digest(readable, table.digests)
    findings = [
        *image_checks.find_unreadable(table.problems),
        *image_checks.find_in_pixels(paths, table.facts, readable),
        *group_checks.find_duplicates(groups.values(), dataset.images),
        *_find_near_duplicates(dataset, list(groups.values()), table.facts, features),
        *_find_in_features(dataset, features),
        *class_checks.find_in_classes(dataset),
    ]
    order = {kind.name: position for position, kind in enumerate(KINDS)}
    findings.sort(key=lambda finding: (order[finding.kind], _rank(finding)))
    result = CheckResult(dataset, tuple(findings), len(readable), len(features.rows))
    last_check.keep(options.bottleneck_dir, dataset, result.findings)
    return result


def _rank(finding: Finding) -> tuple[bool, float, tuple[int, ...]]:
    is_ranked = finding.score is not None
    return not is_ranked, finding.score or 0.0, finding.images


def _list(options: CheckOptions) -> Dataset:
    """Lists the images without the conditions of a training: any number of classes and images."""
    check_options(options.split)
    split_dirs = split_folders(options.split)
    listings = folders.list_images({"image_dir": options.image_dir, **split_dirs})
    main_listing = listings.pop("image_dir")
    folder_checks.report_ignored([main_listing, *listings.values()])
    if not main_listing.images:
        raise UserError(
            f"--image_dir={options.image_dir} has no sub-folder with images; each class needs a "
            f"sub-folder with its images{folder_checks.explain_missing_images(main_listing)}"
        )
    return build_dataset(options.image_dir, main_listing, options.split, listings)


def _features(dataset: Dataset, readable: Sequence[int], options: CheckOptions) -> DatasetFeatures:
    backbone = registry.resolve(options.backbone, options.bottleneck_dir)
    engines.check(options.engine, backbone)
    features = load_features(
        dataset.images,
        readable,
        backbone,
        engine=options.engine,
        cache_dir=options.bottleneck_dir,
        compute=options.compute_features,
    )
    if len(features.rows) < len(readable):
        logging.info(
            "The cache has the features of %d of %d images; labels and outliers of the others are "
            "not checked.",
            len(features.rows),
            len(readable),
        )
    return features


def _group(
    dataset: Dataset,
    readable: Sequence[int],
    digests: Sequence[bytes | None],
    options: CheckOptions,
) -> Dataset:
    """Returns the data set with the splits that a training would have."""
    if options.split.group_by != NEAR_DUPLICATES:
        return dataset
    known = {dataset.images[index].path: digest for index in readable if (digest := digests[index])}
    with open_store(options.bottleneck_dir) as store:
        return group_near_duplicates(dataset, known, store, cache_dir=options.bottleneck_dir)


def _find_near_duplicates(
    dataset: Dataset,
    groups: Sequence[Sequence[int]],
    facts: np.ndarray,
    features: DatasetFeatures,
) -> list[Finding]:
    """Returns the near-duplicates among different files."""
    first_of_group = [group[0] for group in groups]
    row_of_image = {index: row for row, index in enumerate(first_of_group)}
    used = [row for row, index in enumerate(features.rows) if index in row_of_image]
    pairs = feature_neighbours.find_pairs(features.vectors[used])
    rows = np.array([row_of_image[features.rows[row]] for row in used], np.int64)
    candidates = np.sort(rows[pairs], axis=1)
    found = near_duplicates.find(facts["thumbnail"][first_of_group], candidates)
    return list(group_checks.find_near_duplicates(found, first_of_group, dataset.images))


def _find_in_features(dataset: Dataset, features: DatasetFeatures) -> list[Finding]:
    if len(features.rows) < 2:
        return []
    class_ids = np.array([dataset.images[index].class_id for index in features.rows], np.int64)
    return list(
        feature_checks.find_in_features(
            features.vectors, features.rows, class_ids, labels=dataset.labels
        )
    )

"""Divides images into the folds of a cross-validation."""

import numpy as np

# Fold of the images that no fold can hold out.
ALWAYS_TRAINING = -1


def assign_folds(
    class_ids: np.ndarray, groups: np.ndarray, fold_count: int, *, seed: int
) -> np.ndarray:
    """Assigns each image to the fold that holds it out.

    The images of a group are in one fold. Each class has about the same number of images in each
    fold. A class all of whose images would be in one fold could not be learnt without them. They,
    and the groups that they belong to, are held out of no fold.

    Args:
        class_ids: Class of each image, int [N].
        groups: Number of each image's group, int [N].
        fold_count: Number of folds.
        seed: Random seed.

    Returns:
        Folds from 0 to fold_count - 1, or ALWAYS_TRAINING, int64 [N].
    """
    _, first, groups = np.unique(groups, return_index=True, return_inverse=True)
    sizes = np.bincount(groups)
    # Large groups first: small ones then even out the differences.
    shuffled = np.random.default_rng(seed).permutation(len(sizes))
    order = shuffled[np.argsort(-sizes[shuffled], kind="stable")]
    in_class: dict[int, np.ndarray] = {}
    in_fold = np.zeros(fold_count, np.int64)
    fold_of_group = np.empty(len(sizes), np.int64)
    for group in order.tolist():
        # A group with several classes counts for the class of its first image.
        counts = in_class.setdefault(int(class_ids[first[group]]), np.zeros(fold_count, np.int64))
        fold = np.lexsort((in_fold, counts))[0]
        fold_of_group[group] = fold
        counts[fold] += sizes[group]
        in_fold[fold] += sizes[group]
    folds = fold_of_group[groups]
    stuck = np.isin(class_ids, _classes_in_one_fold(class_ids, folds))
    folds[np.isin(groups, groups[stuck])] = ALWAYS_TRAINING
    return folds


def hold_out(
    class_ids: np.ndarray, groups: np.ndarray | None, fold_count: int, *, seed: int
) -> list[np.ndarray]:
    """Returns masks of the images that each fold holds out, bool [N] each.

    Args:
        class_ids: Class of each image, int [N].
        groups: Number of each image's group, int [N]; None if each image is a group of its own.
        fold_count: Number of folds.
        seed: Random seed.
    """
    if groups is not None and len(np.unique(groups)) < len(groups):
        folds = assign_folds(class_ids, groups, fold_count, seed=seed)
    else:
        folds = rank_within_class(class_ids, seed=seed) % fold_count
        # The only image of a class stays in every fold's training images.
        folds[np.bincount(class_ids)[class_ids] == 1] = ALWAYS_TRAINING
    return [folds == fold for fold in range(fold_count)]


def rank_within_class(class_ids: np.ndarray, *, seed: int) -> np.ndarray:
    """Returns the position of each image in a random order of its class, int64 [N].

    Args:
        class_ids: Class of each image, int [N].
        seed: Random seed.
    """
    order = np.random.default_rng(seed).permutation(len(class_ids))
    ranks = np.empty(len(class_ids), np.int64)
    for class_id in np.unique(class_ids):
        members = order[class_ids[order] == class_id]
        ranks[members] = np.arange(len(members))
    return ranks


def _classes_in_one_fold(class_ids: np.ndarray, folds: np.ndarray) -> np.ndarray:
    pairs = np.unique(np.stack([class_ids, folds], axis=1), axis=0)
    classes, fold_counts = np.unique(pairs[:, 0], return_counts=True)
    return classes[fold_counts == 1]

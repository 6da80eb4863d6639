"""The flags that name the images and split them."""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from retrain.config import (
    FOLDER,
    NEAR_DUPLICATES,
    PREFIX,
    UNGROUPED,
    SplitOptions,
    TrainingConfig,
)
from retrain.flags import values
from retrain.shards.file_systems import is_url
from retrain.shards.schema import FILE_PREFIX, FILE_SUFFIX
from retrain.system.files.cache_folder import default_cache_folder
from retrain.system.files.user_paths import user_path
from retrain.system.program import path_flags

# Heading of these flags in --help.
HEADING = "Images and cache"

_DEFAULTS = SplitOptions()
# TensorFlow's script has no groups.
_DEFAULT_GROUPS = {"path": UNGROUPED}

_IMAGE_DIR = flags.DEFINE_string(
    "image_dir", None, "Folder with a sub-folder of images for each class. Required."
)
_VALIDATION_PERCENTAGE = flags.DEFINE_float(
    "validation_percentage",
    _DEFAULTS.validation_percentage,
    "Percentage of the images to use for validation.",
)
_TESTING_PERCENTAGE = flags.DEFINE_float(
    "testing_percentage",
    _DEFAULTS.testing_percentage,
    "Percentage of the images to hold out for the final test.",
)
_VALIDATION_DIR = flags.DEFINE_string(
    "validation_dir",
    None,
    "Folder with validation images, in sub-folders named as in --image_dir. By default, validation "
    "images are taken from --image_dir.",
)
_TEST_DIR = flags.DEFINE_string(
    "test_dir",
    None,
    "Folder with test images, in sub-folders named as in --image_dir. By default, test images are "
    "taken from --image_dir.",
)
_SPLIT_BY = flags.DEFINE_enum(
    "split_by",
    _DEFAULTS.split_by,
    ["name", "path"],
    "Part of the path that decides the split of an image: name uses its folder and file name, so "
    "that the split stays the same if --image_dir moves; path uses the whole path, as in "
    "TensorFlow's image_retraining.",
)
_GROUP_BY = flags.DEFINE_enum(
    "group_by",
    None,
    [NEAR_DUPLICATES, FOLDER, PREFIX, UNGROUPED],
    "Images to keep in one split, so that no image is tested that resembles a training image: "
    "near_duplicates, for copies, near-duplicates and photos of a burst; folder, for images in "
    "sub-folders of the classes; prefix, for images whose names are the same up to the last space, "
    "dot, hyphen, underscore or parenthesis; or none. The default is near_duplicates, "
    "and none with --split_by=path.",
)
_STRICT = flags.DEFINE_boolean(
    "strict",
    TrainingConfig.strict,
    "Whether to stop at an unreadable image. By default, such images are skipped.",
)
_BOTTLENECK_DIR = flags.DEFINE_string(
    "bottleneck_dir",
    None,
    "Folder for the bottleneck cache. Later runs on the same images reuse it, even if the "
    "images were renamed or moved. It can also be a folder, or a URL such as s3://bucket/folder, "
    "that //tools:cache_bottlenecks filled. The default is retrain in XDG_CACHE_HOME or ~/.cache.",
)


def refuse_arguments(arguments: Sequence[str]) -> None:
    """Raises UserError if there are arguments that are not flags."""
    values.refuse_arguments(arguments, "--image_dir=DIR sets the folder of images")


def image_dir() -> Path:
    """Returns the image folder.

    Raises:
        UserError: If the flag is missing.
    """
    return user_path(values.required(_IMAGE_DIR))


def parse_split_options() -> SplitOptions:
    """Returns how to split the images."""
    return SplitOptions(
        validation_percentage=_VALIDATION_PERCENTAGE.value,
        testing_percentage=_TESTING_PERCENTAGE.value,
        split_by=_SPLIT_BY.value,
        group_by=_GROUP_BY.value or _DEFAULT_GROUPS.get(_SPLIT_BY.value, _DEFAULTS.group_by),
        typed_image_dir=_IMAGE_DIR.value or "",
        validation_dir=path_flags.optional_path(_VALIDATION_DIR),
        test_dir=path_flags.optional_path(_TEST_DIR),
    )


def strict() -> bool:
    """Returns whether an unreadable image ends the run."""
    return _STRICT.value


def bottleneck_dir() -> Path:
    """Returns the folder of the cache: the user's own folder if the flag is a URL.

    Raises:
        UserError: If others can write to it.
    """
    if is_url(_BOTTLENECK_DIR.value or ""):
        return default_cache_folder()
    return values.cache_folder(_BOTTLENECK_DIR)


def shards() -> str | None:
    """Returns the folder or URL of bottlenecks in Parquet files, if the cache is one."""
    if is_url(_BOTTLENECK_DIR.value or ""):
        return _BOTTLENECK_DIR.value
    folder = path_flags.optional_path(_BOTTLENECK_DIR)
    has_shards = folder is not None and any(folder.glob(f"{FILE_PREFIX}*{FILE_SUFFIX}"))
    return str(folder) if has_shards else None

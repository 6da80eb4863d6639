"""The Parquet files with bottlenecks: columns, and what their metadata says.

A shard is a file with the bottlenecks of some images. All shards of a folder have the same recipe.
The columns are:

    name      path of the image relative to the image folder, with `/` as separator
    label     label of its class
    size      size of its file in bytes
    modified  version of the file: usually the time of its last change in nanoseconds
    key       SHA-256 of the file, 32 bytes
    vector    bottleneck, as many float16 values as the metadata says
    traits    record by which a training recognizes similar images; see `data.image_traits`
"""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from retrain.bottlenecks import traits_cache
from retrain.data.image_traits import TRAITS
from retrain.version import VERSION

FILE_PREFIX = "bottlenecks-"
FILE_SUFFIX = ".parquet"
DIGEST_BYTES = 32
_FORMAT = "1"
_PREFIX = "retrain_"
# Key of the recipe of the traits. Traits of another recipe are not read.
TRAITS_KEY = f"{_PREFIX}traits_recipe"


class FormatError(Exception):
    """A file is not a shard that this version can read. The message is one line that says why."""


@dataclasses.dataclass(frozen=True)
class ShardDescription:
    """What the bottlenecks in a shard were computed with.

    Attributes:
        recipe: Recipe of undistorted images; see `bottlenecks.recipes`.
        architecture: Name of the backbone.
        feature_width: Number of values in a bottleneck.
    """

    recipe: str
    architecture: str
    feature_width: int

    @property
    def engine(self) -> str:
        """Name of the engine that computed the bottlenecks."""
        return str(json.loads(self.recipe).get("precision", ""))

    def to_metadata(self) -> dict[str, str]:
        """Returns the metadata of a shard's schema."""
        recipe = json.loads(self.recipe)
        return {
            f"{_PREFIX}shard_format": _FORMAT,
            f"{_PREFIX}version": VERSION,
            f"{_PREFIX}recipe": self.recipe,
            f"{_PREFIX}architecture": self.architecture,
            f"{_PREFIX}feature_width": str(self.feature_width),
            # Parts of the recipe, for other readers.
            f"{_PREFIX}backbone_fingerprint": str(recipe.get("backbone", "")),
            f"{_PREFIX}engine": self.engine,
            f"{_PREFIX}preprocessing_version": str(recipe.get("preprocessing", "")),
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[bytes, bytes] | None) -> "ShardDescription":
        """Returns the description in the metadata of a file's schema.

        Raises:
            FormatError: If the file is not a shard, or has another format.
        """
        texts = {key.decode(): value.decode() for key, value in (metadata or {}).items()}
        found = texts.get(f"{_PREFIX}shard_format")
        if found != _FORMAT:
            is_shard = "it has no bottlenecks of retrain" if found is None else "its format is new"
            raise FormatError(is_shard)
        try:
            description = cls(
                texts[f"{_PREFIX}recipe"],
                texts[f"{_PREFIX}architecture"],
                int(texts[f"{_PREFIX}feature_width"]),
            )
            json.loads(description.recipe)
        except (KeyError, ValueError) as error:
            raise FormatError("its metadata is damaged") from error
        return description


def shard_schema(description: ShardDescription) -> Any:
    """Returns the Arrow schema of a shard."""
    import pyarrow as pa

    return pa.schema(
        [
            ("name", pa.string()),
            ("label", pa.string()),
            ("size", pa.int64()),
            ("modified", pa.string()),
            ("key", pa.binary(DIGEST_BYTES)),
            ("vector", pa.list_(pa.float16(), description.feature_width)),
            ("traits", pa.binary(TRAITS.itemsize)),
        ],
        metadata={**description.to_metadata(), TRAITS_KEY: traits_cache.RECIPE},
    )

"""Describes the groups of images that stay in one split, and the difference that they make."""

from dataclasses import asdict, dataclass
from typing import Any

from retrain.config import NEAR_DUPLICATES
from retrain.system.text import name_some, one_line

_MAX_GROUPS_NAMED = 2
_MAX_IMAGES_NAMED = 3


@dataclass(frozen=True)
class GroupSummary:
    """The groups of a data set.

    Attributes:
        group_by: Value of --group_by.
        group_count: Number of groups with several images.
        image_count: Number of images in these groups.
        divided: Groups that would be in several splits without --group_by: paths of their images
            relative to the image folder.
        fixed_count: Number of groups that are in several splits nevertheless, because some of their
            images are in --validation_dir or --test_dir.
        divided_count: Number of groups that are in several splits nevertheless, because a class has
            no other images for these splits.
    """

    group_by: str
    group_count: int
    image_count: int
    divided: tuple[tuple[str, ...], ...]
    fixed_count: int = 0
    divided_count: int = 0

    def describe(self) -> str:
        """Returns a line about the groups and the difference that they make."""
        kind = (
            "near-duplicates" if self.group_by == NEAR_DUPLICATES else f"the same {self.group_by}"
        )
        if not self.group_count:
            return f"No images have {kind}, so --group_by={self.group_by} changes no split."
        groups = (
            "their only group"
            if self.group_count == 1
            else f"each of their {self.group_count:,} groups"
        )
        line = f"{self.image_count:,} images have {kind}, and {groups} is in one split"
        if self.divided_count:
            line += f", except {self.divided_count:,} whose class has too few other images"
        line += ". "
        if not self.divided:
            return f"{line}--group_by=none would divide no group."
        divided = (
            name_some(map(one_line, group), most=_MAX_IMAGES_NAMED, separator=" = ")
            for group in self.divided
        )
        names = name_some(divided, most=_MAX_GROUPS_NAMED, separator="; ")
        return f"{line}--group_by=none would divide {len(self.divided):,} of them: {names}."

    def as_json(self) -> dict[str, Any]:
        """Returns the summary as values for `json.dumps`."""
        return asdict(self)

"""Describes the groups of images that stay in one split, and the difference that they make."""

from dataclasses import asdict, dataclass
from typing import Any

from retrain.config import FOLDER, NEAR_DUPLICATES, PREFIX
from retrain.system.text import name_some, one_line

_LIKENESS = {
    NEAR_DUPLICATES: "have near-duplicates",
    FOLDER: "share a sub-folder",
    PREFIX: "share a prefix of their names",
}
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
        likeness = _LIKENESS[self.group_by]
        if not self.group_count:
            return f"No images {likeness}, so --group_by={self.group_by} changes no split."
        only = self.group_count == 1
        line = f"{self.image_count:,} images {likeness}"
        if self.divided_count == self.group_count:
            groups = "their only group is" if only else f"all {self.group_count:,} groups are"
            line += f", but {groups} in several splits: there are too few other images"
        else:
            groups = "their only group" if only else f"each of their {self.group_count:,} groups"
            line += f", and {groups} is in one split"
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

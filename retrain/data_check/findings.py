"""The kinds of problems that a check of a data set finds, and single findings."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Kind:
    """A kind of problem.

    Attributes:
        name: Name in the output files and in --fix.
        title: Title in reports.
        advice: What the user can do about it.
        removal: Which images of a finding --fix moves: ALL, REDUNDANT for all but the first, or
            NONE.
    """

    name: str
    title: str
    advice: str
    removal: str


ALL, REDUNDANT, NONE = "all", "redundant", "none"

# From the most to the least urgent.
KINDS = (
    Kind("unreadable", "Unreadable images", "Repair or remove them.", ALL),
    Kind("truncated", "Truncated images", "Download or copy them again, or remove them.", ALL),
    Kind(
        "duplicate_across_classes",
        "The same file in several classes",
        "At most one of the labels is right. Remove the others.",
        ALL,
    ),
    Kind(
        "near_duplicate_across_classes",
        "Nearly the same image in several classes",
        "At most one of the labels is right. Remove the others.",
        ALL,
    ),
    Kind(
        "duplicate_across_splits",
        "The same file in several splits",
        "The measured accuracy is too high. Keep one of the files.",
        REDUNDANT,
    ),
    Kind(
        "near_duplicate_across_splits",
        "Nearly the same image in several splits",
        "The measured accuracy is too high. Keep one of the images.",
        REDUNDANT,
    ),
    Kind(
        "mislabelled",
        "Probably wrong labels",
        "Look at them, the most suspicious ones first. Move those that are wrong to the right "
        "folder.",
        ALL,
    ),
    Kind("duplicate", "The same file several times", "Keep one of the files.", REDUNDANT),
    Kind(
        "near_duplicate",
        "Nearly the same image several times",
        "Copies add little. Keep one of the images.",
        REDUNDANT,
    ),
    Kind("blank", "Blank images", "Remove them.", ALL),
    Kind("dark", "Dark images", "Brighten or remove them.", ALL),
    Kind("blurred", "Blurred images", "Remove them, unless users' images are blurred, too.", ALL),
    Kind(
        "outlier",
        "Images unlike all others",
        "Check that they belong to the data set.",
        ALL,
    ),
    Kind("tiny", "Tiny images", "Replace them by larger versions.", ALL),
    Kind("huge", "Images much larger than the others", "Reduce them to save time.", NONE),
    Kind(
        "odd_aspect",
        "Very wide or high images",
        "The network sees them squeezed to a square. Crop them, or train with --fit=crop or pad.",
        ALL,
    ),
    Kind("animated", "Animated images", "Only the first frame is used.", ALL),
    Kind(
        "wrong_extension",
        "Files with the extension of another format",
        "They can be read here. Rename them for other programs.",
        NONE,
    ),
    Kind(
        "label_collision",
        "Classes with names that are hard to tell apart",
        "Merge the folders, or rename them.",
        NONE,
    ),
    Kind("small_class", "Small classes", "Add images.", NONE),
    Kind("imbalance", "Imbalance", "Add images to the small classes.", NONE),
)
KIND_OF_NAME = {kind.name: kind for kind in KINDS}
FIXABLE = tuple(kind.name for kind in KINDS if kind.removal != NONE)


@dataclass(frozen=True)
class Finding:
    """A problem of one image, of a group of images, or of the classes.

    Attributes:
        kind: Name of the kind.
        images: Indices of the images in the data set.
        detail: What was measured, for people.
        score: Number by which the findings of a kind are ranked, if they are.
        suggested_class: Index of the class that fits better, for wrong labels.
        classes: Names of the class folders, for findings without images.
    """

    kind: str
    images: tuple[int, ...] = ()
    detail: str = ""
    score: float | None = None
    suggested_class: int | None = None
    classes: tuple[str, ...] = field(default=())

"""Holds the names of the images that were found in a folder, and of what was not used."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Listing:
    """The content of a folder that has one sub-folder per class.

    Attributes:
        images: Sorted paths of the images of each class, relative to the class folder and with `/`
            as separator. The keys are the sorted names of the folders that contain images.
        empty_folders: Names of the class folders without images.
        outside_classes: Number of images directly in the root, which belong to no class.
        ignored: Number of other files of each kind, such as ".txt" or "hidden".
        duplicate_links: Relative paths of links to files or folders that are listed elsewhere.
        misnamed: Sorted relative paths of files that start like images but have other names.
        special_files: Sorted relative paths of pipes, sockets, devices and broken links that have
            the name of an image, with their kind, such as "cat/a.jpg (pipe)".
        system_folders: Sorted relative paths of folders of NAS devices and systems.
    """

    images: dict[str, list[str]] = field(default_factory=dict)
    empty_folders: list[str] = field(default_factory=list)
    outside_classes: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    duplicate_links: list[str] = field(default_factory=list)
    misnamed: list[str] = field(default_factory=list)
    special_files: list[str] = field(default_factory=list)
    system_folders: list[str] = field(default_factory=list)

    def finish(self) -> None:
        """Sorts what was found in any order, and separates the class folders without images."""
        self.empty_folders = [
            name
            for name, files in self.images.items()
            if not files and name not in self.duplicate_links
        ]
        self.images = {name: sorted(files) for name, files in self.images.items() if files}
        for names in (self.duplicate_links, self.misnamed, self.special_files, self.system_folders):
            names.sort()

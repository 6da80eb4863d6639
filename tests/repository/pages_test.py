"""Everything that a page of the documentation mentions exists: links, targets, files, names."""

import ast
import re
from pathlib import Path

from absl.testing import absltest, parameterized

from retrain.version import VERSION

_PAGES = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docker/README.md",
    "docs/data_check.md",
    "docs/evaluation.md",
    "docs/exports.md",
    "docs/familiarity.md",
    "docs/flags.md",
    "docs/formats.md",
    "docs/heat_maps.md",
    "docs/inference.md",
    "docs/performance.md",
    "docs/recipes.md",
    "docs/report.md",
    "docs/scale.md",
    "docs/security.md",
    "docs/serving.md",
    "docs/training.md",
    "docs/tutorial.md",
    "docs/unknown_images.md",
    "examples/README.md",
    "examples/ios/README.md",
    "tests/benchmarks/README.md",
)
# Files of the repository have these endings; others, such as graph.pb, are what users make.
_FILE = re.compile(r"(?<![\w./<*~-])((?:[\w.-]+/)*[\w.-]+\.(?:bzl|in|md|py|swift|toml|yaml))\b")
_FOLDER = re.compile(r"`((?:[\w-]+/)+)`")
_NAME = re.compile(r"(?<![\w./-])([a-z_]\w*(?:\.\w+)+)\b(?!/)")
_ENDINGS = {"csv", "html", "in", "json", "keras", "md", "pb", "png", "py", "tflite", "txt", "yaml"}
_SOURCES = [
    path
    for folder in ("examples", "label_image", "retrain", "tests", "tools")
    for path in sorted(Path(folder).rglob("*.py"))
]
_STEMS = {part for path in _SOURCES for part in path.with_suffix("").parts} - {"model"}


def _text(page: str) -> str:
    return Path(page).read_text()


def _anchors(page: Path) -> set[str]:
    """Returns the anchors that GitHub makes of the headings of a page."""
    headings = re.findall(r"(?m)^#+ (.*)$", page.read_text())
    return {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}


def _defined(path: Path) -> set[str]:
    """Returns the names of a module and of the members of its classes."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def _exists(name: str) -> bool:
    """Returns whether a dotted name is a module of this repository, or something defined in one.

    The folders that lead to the module can be left out.
    """
    parts = tuple(name.split("."))
    if any(path.parent.parts[-len(parts) :] == parts for path in _SOURCES):
        return True
    for length in range(len(parts), 0, -1):
        for path in _SOURCES:
            module = path.parent.parts if path.name == "main.py" else path.with_suffix("").parts
            if module[-length:] == parts[:length] and set(parts[length:]) <= _defined(path):
                return True
    return False


class PagesTest(parameterized.TestCase):
    def test_all_pages_are_checked(self):
        found = {str(path) for path in Path().rglob("*.md") if not path.parts[0].startswith(".")}
        self.assertEqual(found, set(_PAGES))

    def test_changelog_begins_with_this_version(self):
        first = re.search(r"(?m)^## (\S+)", _text("CHANGELOG.md"))
        assert first
        self.assertEqual(first[1], VERSION)

    @parameterized.parameters(*_PAGES)
    def test_targets_exist(self, page: str):
        for folder, name in re.findall(r"(?<![\w@:])//([\w/]+)(?::(\w+))?", _text(page)):
            target = name or Path(folder).name
            build = Path(folder, "BUILD").read_text()
            self.assertIn(f'name = "{target}"', build, f"{page} names //{folder}:{target}")

    @parameterized.parameters(*_PAGES)
    def test_links_lead_somewhere(self, page: str):
        text = _text(page)
        links = re.findall(r"\]\((?!https?://)([^)]+)\)", text) + re.findall(r'src="(.*?)"', text)
        for link in links:
            path, _, anchor = link.partition("#")
            linked = Path(page).parent / path if path else Path(page)
            self.assertTrue(linked.exists(), f"{page} links to {link}")
            if anchor:
                self.assertIn(anchor, _anchors(linked), f"{page} links to {link}")

    @parameterized.parameters(*_PAGES)
    def test_files_exist(self, page: str):
        for name in _FILE.findall(_text(page)):
            places = [Path(name), Path(page).parent / name]
            if "/" not in name:
                places += Path().rglob(name)
            self.assertTrue(any(place.exists() for place in places), f"{page} mentions {name}")

    @parameterized.parameters(*_PAGES)
    def test_folders_exist(self, page: str):
        for name in _FOLDER.findall(_text(page)):
            places = (Path(name), Path(page).parent / name)
            self.assertTrue(any(place.is_dir() for place in places), f"{page} mentions {name}")

    @parameterized.parameters(*_PAGES)
    def test_modules_and_their_names_exist(self, page: str):
        for name in _NAME.findall(_text(page)):
            parts = name.split(".")
            if parts[0] in _STEMS and parts[-1] not in _ENDINGS:
                self.assertTrue(_exists(name), f"{page} mentions {name}")

    @parameterized.parameters(*_PAGES)
    def test_classes_and_constants_exist(self, page: str):
        code = "".join(path.read_text() for path in _SOURCES)
        for name in re.findall(r"`(_?[A-Z][a-z]+[A-Z]\w+|_?[A-Z]+_[A-Z_]+|_[A-Z]+)`", _text(page)):
            self.assertRegex(code, rf"\b{name}\b", f"{page} mentions {name}")

    @parameterized.parameters(
        ("retrain.data.dataset", True),
        ("data.pixels", True),
        ("errors.UserError", True),
        ("label_image.classifier.Classifier", True),
        ("retrain.data", True),
        ("retrain.data.no_such_module", False),
        ("errors.NoSuchError", False),
    )
    def test_names_that_do_not_exist_are_found(self, name: str, exists: bool):
        self.assertEqual(_exists(name), exists)


if __name__ == "__main__":
    absltest.main()

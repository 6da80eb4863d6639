"""Sources and docs use the standard terms of the field and plain English.

Each entry below names what to write instead. A single word in quotes or in a path is exempt,
because it can be a key or a file name of earlier versions.
"""

import ast
import collections
import io
import re
import tokenize
from pathlib import Path

from absl.testing import absltest, parameterized

# Identifiers, compared as whole words.
_NAMES = {
    "Clock": "PhaseTimer",
    "Course": "TrainingHistory",
    "Keeper": "BestCheckpoint",
    "Lessons": "TuningData",
    "_Judged": "FoldResult",
    "_Said": "PartialLayout",
    "alone": "exclusive_file",
    "apart": "validation_only",
    "begun": "start",
    "better": "select_fine_tuned",
    "chosen": "resolve",
    "look": "measure",
    "loose_pictures": "find_images",
    "roomy": "decode_for_cropping",
    "told": "warn_duplicates",
    "unseen": "held_out",
    "with_it": "tuned",
}
# Regular expressions. A space also matches a line break and what stands around it in comments and
# in strings that are split over lines.
_PHRASES = {
    r"(?<![\w\"'/])[Pp]ictures?\b(?!\.png|[\"'])": "image",
    r"(?<![\w.\"'])[Cc]ategor(y|ies)\b(?![\"'])": "class",
    r"(?<![\w\"'/])[Dd]rawings?\b(?![\"'])": "plot",
    r"\bcommonest\b": "most common",
    r"\banew\b": "again",
    r"\b[Mm]eanwhile\b": "at the same time",
    r"\b[Ww]hoever\b": "users who",
    r"\bnow and then\b": "sometimes",
    r"\bnone is\b": "there is no",
    r"\bare the least\b": "at least",
    r"\bcamera was held\b": "EXIF orientation is applied",
    r"\bput a proxy\b": "run it behind a reverse proxy",
    r"\basked about\b": "run on",
    r"\b(is|are) told\b": "receives",
    r"\btells? whether\b": "returns whether",
    r"\bsplit is a kind one\b": "this split is easier than the average",
    r"\ba reference answered\b": "computed by the reference implementation",
    r"\bmake one \w+ of another\b": "turn one class into another",
    r"\b(original|predecessor)'s (way|approach) of\b": "TensorFlow's image_retraining",
    r"\bhave it that\b": "name the subject",
}
_SUFFIXES = {".py", ".md", ".html", ".js", ".css", ".json", ".yaml", ".swift", ".bzl", ".toml"}
_THIS = Path("tests/repository/words_test.py")


def _files() -> list[Path]:
    # Bazel starts a test in a copy of the workspace that has what BUILD lists as its data.
    found = (path for path in Path().rglob("*") if path.suffix in _SUFFIXES and path != _THIS)
    return sorted(path for path in found if not path.parts[0].startswith((".", "bazel-")))


def _pattern(phrase: str) -> re.Pattern[str]:
    return re.compile(phrase.replace(" ", r"[\s#\"'/*]+"))


def _hits_of_names(path: Path) -> list[str]:
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
    return [
        f"{path}:{token.start[0]}: {token.string}, write {_NAMES[token.string]}"
        for token in tokens
        if token.type == tokenize.NAME and token.string in _NAMES
    ]


def _hits_of_phrases(path: Path) -> list[str]:
    text = path.read_text()
    return [
        f"{path}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]!r}, write {better!r}"
        for phrase, better in _PHRASES.items()
        for match in _pattern(phrase).finditer(text)
    ]


class WordsTest(parameterized.TestCase):
    def test_sources_and_docs_are_searched(self):
        files = {str(path) for path in _files()}
        for path in (
            "README.md",
            "docs/flags.md",
            "retrain/main.py",
            "tools/server/files/templates/page.html",
        ):
            self.assertIn(path, files)

    def test_identifiers_are_standard_terms(self):
        hits = [hit for path in _files() if path.suffix == ".py" for hit in _hits_of_names(path)]
        self.assertEmpty(hits, "\n" + "\n".join(hits))

    def test_public_classes_have_different_names(self):
        places = collections.defaultdict(list)
        for path in _files():
            if path.suffix == ".py" and path.parts[0] != "tests":
                for node in ast.parse(path.read_text()).body:
                    if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                        places[node.name].append(f"{path}:{node.lineno}")
        # The options of each program, in the folder of the program.
        del places["Options"]
        shared = [f"{name}: {', '.join(at)}" for name, at in places.items() if len(at) > 1]
        self.assertEmpty(shared, "\n" + "\n".join(shared))

    def test_sentences_are_plain(self):
        hits = [hit for path in _files() for hit in _hits_of_phrases(path)]
        self.assertEmpty(hits, "\n" + "\n".join(hits))

    def test_help_begins_with_what_the_flag_sets(self):
        pages = Path("docs/flags.md").read_text()
        flags = re.findall(r"(?m)^\| `(--\S+)` \|[^|]*\| (?:Of|Its|The same)\b", pages)
        self.assertEmpty(flags, "the help of these flags does not name what they set")

    @parameterized.parameters(
        ("Two categories\n    # are the least.", 2),
        ('"so that a reference "\n    "answered"', 1),
        ("`pictures.png`, by_pictures, --pictures_per_category", 0),
    )
    def test_phrases_are_found_across_lines(self, text: str, count: int):
        hits = [phrase for phrase in _PHRASES if _pattern(phrase).search(text)]
        self.assertLen(hits, count)


if __name__ == "__main__":
    absltest.main()

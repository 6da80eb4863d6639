"""The commands of the README do what it says, and the tables of flags are those of the programs."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from absl.testing import absltest, parameterized

from tests.support import served

_PROGRAMS = {
    "//retrain": "retrain/main.py",
    "//label_image": "label_image/main.py",
    "//tools:guess_dir": "tools/guess_dir.py",
    "//tools:serve": "tools/serve.py",
    "//tools:convert": "tools/convert.py",
    "//tools:train_keras": "tools/train_keras.py",
}
_RUN = re.compile(r"(?:\./bazelw|bazel) run (//[\w:]+) -- (.*)")
# What would build the project within its own test, or needs the network.
_NOT_RUN = {
    "./bazelw test //...",
    "./bazelw test //tests/retrain/data:dataset_test",
    "./bazelw test //tests/retrain/data:dataset_test --test_arg=ScanTest",
    "RETRAIN_DATA=/data ./bazelw test //tests/retrain:real_images_test",
}
_PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "examples/README.md",
    "tests/benchmarks/README.md",
    "docker/README.md",
    "docs/flags.md",
    "docs/recipes.md",
    "docs/tutorial.md",
)


def _commands(page: str) -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", Path(page).read_text(), re.DOTALL)
    lines = "".join(blocks).replace("\\\n", "").splitlines()
    return [line.partition("  #")[0].strip() for line in lines if line.strip()]


def _run(program: str, *arguments: str, folder: Path | None = None) -> str:
    done = subprocess.run(
        [sys.executable, _PROGRAMS[program], *arguments],
        env={
            **os.environ,
            "PYTHONPATH": str(Path.cwd()),
            "BUILD_WORKING_DIRECTORY": str(folder or Path.cwd()),
            "COLUMNS": "100",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{program} {arguments}:\n{done.stdout}{done.stderr}"
    return done.stdout


def _matched(pattern: str | re.Pattern[str], text: str) -> re.Match[str]:
    match = re.fullmatch(pattern, text)
    assert match, text
    return match


def _value(flag: str, given: list[str]) -> str:
    return next(text for text in reversed(given) if text.startswith(f"--{flag}=")).partition("=")[2]


def _table(program: str) -> str:
    """Returns the table of flags as docs/flags.md should have it, made from what --help prints."""
    rows = ["| flag | unless given | what it does |", "|---|---|---|"]
    text = _run(program, "--help").partition("Flags:\n")[2]
    for name, default, helps in re.findall(r"  --([^=\n]+)(?:=(.*))?\n((?: {6}.*\n?)+)", text):
        shown = f"`{default}`" if default else ""
        rows.append(f"| `--{name}` | {shown} | {' '.join(helps.split())} |")
    return "\n".join(rows)


class ReadmeTest(parameterized.TestCase):
    @parameterized.parameters("README.md", "docs/tutorial.md")
    def test_the_tour(self, page: str):
        self.home = Path(self.create_tempdir().full_path)
        done = 0
        for command in _commands(page):
            if command not in _NOT_RUN:
                self.follow(command, command.replace("/tmp/", f"{self.home}/"))
                done += 1
        self.assertGreaterEqual(done, 8)

    def follow(self, command: str, moved: str) -> None:
        """Runs a command, with what it would write to /tmp in a folder of the test's own."""
        if command.startswith(("mkdir ", "cp ", "for ")):
            # Bazel gives tests links to files; copies of links would be the same images.
            subprocess.run(["sh", "-ec", moved.replace("cp ", "cp -L ", 1)], check=True)
        elif command.startswith("curl "):
            self.post(command)
        else:
            program, arguments = _matched(_RUN, moved).groups()
            given = [*self.usual_flags(program), *shlex.split(arguments)]
            if program == "//tools:serve":
                self.server = self.enter_context(served.Served(Path(_value("graph", given))))
            else:
                self.check(command, given, _run(program, *given))

    def usual_flags(self, program: str) -> list[str]:
        if program == "//label_image":
            return [f"--graph={self.home}/output_graph.pb"]
        if program != "//retrain":
            return []
        names = ("output_graph.pb", "output_labels.txt", "bottleneck_dir", "summaries_dir")
        return [f"--{name.partition('.')[0]}={self.home}/{name}" for name in names]

    def check(self, command: str, given: list[str], answer: str) -> None:
        if "//retrain" in command:
            accuracy = float(_matched(r"(?ms).*^Final test accuracy = (.*?)% \(N=.*", answer)[1])
            self.assertGreater(accuracy, 75, command)
        elif "--undo" in command:
            folder = Path(_value("undo", given)).with_suffix("")
            self.assertEmpty([p for p in folder.rglob("*") if p.is_file()], command)
        elif "//tools:train_keras" in command:
            self.assertNotEmpty(list(Path(_value("output_dir", given)).glob("*.keras")), command)
        elif "//tools:convert" in command:
            self.assertTrue(Path(_value("coreml_file", given)).exists(), command)
        elif "//tools:guess_dir" in command:
            self.assertRegex(answer, r"ones +\d+", command)
        else:
            class_id = _matched(r".*examples/blocks/(\w+)/.*", command)[1]
            self.assertIn(class_id, answer, command)

    def post(self, command: str) -> None:
        image = Path(_matched(r"curl -F image=@(.*) http://127.0.0.1:5000/", command)[1])
        body, kind = served.form((str(image), image.read_bytes()))
        answer = self.server.ask("POST", "/", body, Content_Type=kind)
        self.assertEqual(answer.status, 200, answer.body)
        self.assertIn(image.parent.name, answer.body.decode())

    @parameterized.parameters(*_PROGRAMS)
    def test_the_table_of_flags(self, program: str):
        table = _table(program)
        self.assertIn(table, Path("docs/flags.md").read_text(), f"It should be:\n{table}")

    @parameterized.parameters(*_PAGES)
    def test_targets_exist(self, page: str):
        for folder, name in re.findall(r"(?<![\w@:])//([\w/]+)(?::(\w+))?", Path(page).read_text()):
            target = name or Path(folder).name
            build = Path(folder, "BUILD").read_text()
            self.assertIn(f'name = "{target}"', build, f"{page} names //{folder}:{target}")

    @parameterized.parameters(*_PAGES)
    def test_links_lead_somewhere(self, page: str):
        for link in re.findall(r"\]\((?!https?://)([^)#]+)", Path(page).read_text()):
            self.assertTrue(Path(page).parent.joinpath(link).exists(), f"{page} links to {link}")


if __name__ == "__main__":
    absltest.main()

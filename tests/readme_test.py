"""The commands of the README do what it says, and its tables of flags are those of the programs."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from absl.testing import absltest, parameterized

from tests import served

_PROGRAMS = {
    "//retrain": "retrain/main.py",
    "//label_image": "label_image/main.py",
    "//tools:guess_dir": "tools/guess_dir.py",
    "//tools:serve": "tools/serve.py",
}
_RUN = re.compile(r"(?:\./bazelw|bazel) run (//[\w:]+) -- (.*)")
# What would build the project within its own test, or needs the network.
_NOT_RUN = {
    "./bazelw test //...",
    "./bazelw test //tests:images_test",
    "./bazelw test //tests:images_test --test_arg=ScanTest",
    "RETRAIN_DATA=/data ./bazelw test //tests:real_pictures_test",
}
_PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "examples/README.md",
    "tests/benchmarks/README.md",
    "docker/README.md",
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


def _table(program: str) -> str:
    """Returns the table of flags as the README should have it, made from what --help prints."""
    rows = ["| flag | unless given | what it does |", "|---|---|---|"]
    text = _run(program, "--help").partition("Flags:\n")[2]
    for name, default, helps in re.findall(r"  --([^=\n]+)(?:=(.*))?\n((?: {6}.*\n?)+)", text):
        shown = f"`{default}`" if default else ""
        rows.append(f"| `--{name}` | {shown} | {' '.join(helps.split())} |")
    return "\n".join(rows)


class ReadmeTest(parameterized.TestCase):
    def test_the_tour(self):
        home = Path(self.create_tempdir().full_path)
        usual = {
            "//retrain": [
                f"--{flag}={home}/{name}"
                for flag, name in (
                    ("output_graph", "output_graph.pb"),
                    ("output_labels", "output_labels.txt"),
                    ("bottleneck_dir", "bottleneck"),
                    ("summaries_dir", "retrain_logs"),
                )
            ],
            "//label_image": [f"--graph={home}/output_graph.pb"],
            "//tools:guess_dir": [],
        }
        answers = {}
        for command in _commands("README.md"):
            if command in _NOT_RUN or command.startswith("curl "):
                continue
            program, arguments = _RUN.fullmatch(command).groups()
            given = shlex.split(arguments.replace("/tmp/", f"{home}/"))
            if program == "//tools:serve":
                self.serve(given)
                continue
            answers[command] = _run(program, *usual[program], *given)
        self.assertGreaterEqual(len(answers), 5)
        for command, answer in answers.items():
            if "//retrain" in command:
                accuracy = float(re.search(r"^Final test accuracy = (.*)% \(N=", answer, re.M)[1])
                self.assertGreater(accuracy, 75, command)
            elif "--undo" in command:
                self.assertEmpty([p for p in home.glob("sorted/**/*") if p.is_file()], command)
            elif "//tools:guess_dir" in command:
                self.assertRegex(answer, r"ones +\d+", command)
            else:
                category = re.search(r"examples/blocks/(\w+)/", command)[1]
                self.assertIn(category, answer, command)

    def serve(self, flags: list[str]) -> None:
        (picture,) = re.findall(
            r"^curl -F image=@(.*) http://127.0.0.1:5000/$", Path("README.md").read_text(), re.M
        )
        (graph,) = (flag for flag in flags if flag.startswith("--graph="))
        body, kind = served.form((picture, Path(picture).read_bytes()))
        with served.Served(Path(graph.partition("=")[2])) as server:
            answer = server.ask("POST", "/", body, Content_Type=kind)
        self.assertEqual(answer.status, 200, answer.body)
        self.assertIn(Path(picture).parent.name, answer.body.decode())

    @parameterized.parameters(*_PROGRAMS)
    def test_the_table_of_flags(self, program: str):
        table = _table(program)
        self.assertIn(table, Path("README.md").read_text(), f"It should be:\n{table}")

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

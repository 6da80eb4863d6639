"""The section with what is needed to repeat the run: the command, and digests of all inputs."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from retrain.export.assemble import current_versions
from retrain.report.html.page import show
from retrain.report.html.training_run import Section, TrainingRun
from retrain.system.files.user_paths import user_path
from retrain.system.text import shell_word

_URL = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*://)(?:[^/?#\s@]*@)?(?P<rest>[^?#\s]*)\S*")
_HIDDEN = "?..."


class _Input(NamedTuple):
    """Something that the run depends on, and its digest."""

    name: str
    detail: str
    digest: str


def describe(run: TrainingRun) -> Section:
    """Returns the section."""
    values = {
        "command": format_command(run.config.command_line),
        "folder": show(user_path(".")),
        "inputs": list(_inputs(run)),
        "versions": current_versions().items(),
        "engine": run.result.features.engine,
        "seed": run.config.head.seed,
        "phases": [
            (name.replace("_", " "), seconds) for name, seconds in run.timer.seconds.items()
        ],
        "total": run.timer.total,
    }
    return Section("reproduction", "Repeat this run", values)


def format_command(arguments: tuple[str, ...]) -> str:
    """Returns the command for a shell, a line per flag, without passwords and tokens in URLs."""
    quoted = [shell_word(hide_secrets(argument)) for argument in arguments]
    return " \\\n    ".join(["bazel run //retrain --", *quoted])


def hide_secrets(text: str) -> str:
    """Returns a text without the user names, passwords and queries of URLs in it."""

    def hide(match: re.Match[str]) -> str:
        shown = f"{match['scheme']}{match['rest']}"
        return shown + _HIDDEN if "?" in match.group() else shown

    return _URL.sub(hide, text)


def digest_images(digests: dict[str, bytes]) -> str:
    """Returns one digest of many images.

    It is the SHA-256 of what `sha256sum` prints for the files, sorted by name.

    Args:
        digests: SHA-256 of each file by its name.
    """
    digest = hashlib.sha256()
    for name, content in sorted(digests.items()):
        digest.update(f"{content.hex()}  {name}\n".encode())
    return digest.hexdigest()


def _inputs(run: TrainingRun) -> Iterator[_Input]:
    folders = {
        "image_dir": run.config.image_dir,
        "validation_dir": run.config.split.validation_dir,
        "test_dir": run.config.split.test_dir,
    }
    digests = run.result.features.digests
    for flag, folder in folders.items():
        if folder is None:
            continue
        names = {
            show(path.relative_to(folder)): digest
            for path, digest in digests.items()
            if path.is_relative_to(folder)
        }
        yield _Input(f"--{flag}", f"{len(names):,} images", digest_images(names))
    yield _Input("network", show(hide_secrets(run.backbone.name)), run.backbone.fingerprint)
    for flag, path in (("weights", run.config.backbone.weights),):
        if path is not None and path.is_file():
            yield _Input(f"--{flag}", show(path.name), _digest_file(path))


def _digest_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

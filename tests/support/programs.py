"""Runs the programs as a user does, and draws images for them."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

_MAINS = {
    "cache_bottlenecks": "tools/cache_bottlenecks.py",
    "check_images": "tools/check_images.py",
    "convert": "tools/convert.py",
    "label_many": "tools/label_many.py",
    "ray": "tools/ray_main.py",
    "retrain": "retrain/main.py",
    "label_image": "label_image/main.py",
    "guess_dir": "tools/guess_dir.py",
    "heatmap": "tools/heatmap.py",
    "serve": "tools/serve.py",
    "tensorboard": "tools/tensorboard_main.py",
    "train_keras": "tools/train_keras.py",
}
COLOURS = {"Red": (200, 40, 30), "Green": (40, 180, 60), "Blue": (30, 60, 200)}


def command(program: str, *arguments: object) -> list[str]:
    """Returns the command line that runs a program, which is a key of `_MAINS`."""
    return [sys.executable, str(Path.cwd() / _MAINS[program]), *map(str, arguments)]


def environment(**changes: str) -> dict[str, str]:
    """Returns the environment variables with which a program finds its modules, and `changes`."""
    # Tests must not leave records of runs in the folder of the user.
    defaults = {"XDG_STATE_HOME": f"{tempfile.gettempdir()}/retrain-tests-{os.geteuid()}"}
    return {**defaults, **os.environ, "PYTHONPATH": str(Path.cwd()), **changes}


def run(program: str, *arguments: object, **options) -> subprocess.CompletedProcess:
    """Runs a program until it exits. Options are those of `subprocess.run`."""
    options.setdefault("env", environment())
    return subprocess.run(command(program, *arguments), capture_output=True, text=True, **options)


def outputs(folder: Path) -> list[str]:
    """Returns flags for a fast run of retrain that writes all files to `folder`."""
    return [
        f"--output_graph={folder}/graph.pb",
        f"--output_labels={folder}/labels.txt",
        f"--bottleneck_dir={folder}/cache",
        f"--summaries_dir={folder}/logs",
        "--how_many_training_steps=300",
    ]


def draw_colours(folder: Path, count: int = 6) -> Path:
    """Draws `count` noisy images of each colour, alternately JPEG and PNG, and returns `folder`."""
    rng = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            noise = rng.integers(-30, 31, (48, 64, 3))
            pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.{('jpg', 'png')[number % 2]}")
    return folder

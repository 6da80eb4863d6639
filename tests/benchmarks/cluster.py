"""Measures how fast one machine and a Ray cluster on it compute bottlenecks.

    bazel run //tests/benchmarks:cluster -- --image_dir=DIR

The images are copies of those in DIR with different bytes at the end, which decoders ignore. The
cluster has a head node without processors, and one or two nodes with one processor each, or one
node with two. A run on a few images measures the start-up, which is subtracted. On a machine that
does other work, compare the CPU seconds.
"""

import itertools
import os
import re
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from absl import flags

from retrain.errors import UserError
from retrain.system.files.user_paths import user_path
from retrain.system.program import command_line
from tests.support import programs
from tests.support.ray_cluster import RayCluster

_IMAGE_DIR = flags.DEFINE_string(
    "image_dir", None, "Folder with a sub-folder of images for each class.", required=True
)
_IMAGES = flags.DEFINE_integer("images", 5000, "Number of images.", lower_bound=200)
_FEW = 16


class _Time(NamedTuple):
    seconds: float
    cpu_seconds: float

    def minus(self, other: "_Time") -> "_Time":
        return _Time(self.seconds - other.seconds, self.cpu_seconds - other.cpu_seconds)


def main(_: list[str]) -> None:
    """Prints seconds, CPU seconds and images per second of each way to compute."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _copy(user_path(_IMAGE_DIR.value), folder / "many", _IMAGES.value)
        _copy(user_path(_IMAGE_DIR.value), folder / "few", _FEW)
        _warm_up(folder)
        _report("this machine", _measure(folder), processors=len(os.sched_getaffinity(0)))
        for nodes in ((2,), (1,), (1, 1)):
            with RayCluster() as cluster:
                for processors in nodes:
                    cluster.add_node(processors=processors)
                name = " and ".join(f"a node of {processors}" for processors in nodes)
                _report(f"cluster, {name}", _measure(folder, cluster), processors=sum(nodes))


def _copy(source: Path, target: Path, count: int) -> None:
    images = sorted(path for path in source.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    if not images:
        raise UserError(f"--image_dir={source} has no JPEG images")
    for number, image in zip(range(count), itertools.cycle(images)):
        copy = target / f"class{number % 2}" / f"{number}.jpg"
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(image.read_bytes() + number.to_bytes(4, "big"))


def _warm_up(folder: Path) -> None:
    """Reads all files once, and waits until they are old enough to be recognized later."""
    for image in folder.rglob("*.jpg"):
        image.read_bytes()
    time.sleep(3)


def _measure(folder: Path, cluster: RayCluster | None = None) -> _Time:
    return _run(folder / "many", cluster).minus(_run(folder / "few", cluster))


def _run(images: Path, cluster: RayCluster | None) -> _Time:
    address = [f"--ray_address={cluster.address}"] if cluster else []
    with tempfile.TemporaryDirectory() as output:
        start = time.monotonic()
        done = programs.run(
            "cache_bottlenecks", f"--image_dir={images}", f"--bottleneck_dir={output}", *address
        )
        seconds = time.monotonic() - start
    used = re.search(r"with ([\d,.]+) CPU seconds", done.stderr)
    if done.returncode or not used:
        raise RuntimeError(done.stderr)
    return _Time(seconds, float(used[1].replace(",", "")))


def _report(name: str, measured: _Time, *, processors: int) -> None:
    count = _IMAGES.value - _FEW
    print(
        f"{name}: {measured.seconds:.1f} s, {measured.cpu_seconds:.1f} CPU seconds, "
        f"{count / measured.seconds:.0f} images/s, "
        f"{count / measured.cpu_seconds:.0f} images per CPU second, {processors} processors",
        flush=True,
    )


if __name__ == "__main__":
    command_line.run(main, __doc__)

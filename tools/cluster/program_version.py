"""Compares the program and the packages of machines, which could compute different results."""

import hashlib
import importlib.metadata
import importlib.util
import platform
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

from retrain.system.text import name_some

# The rooms whose modules run on all machines.
_ROOMS = (
    *("retrain.backbones", "retrain.bottlenecks", "retrain.data", "retrain.runtimes"),
    *("retrain.shards", "label_image", "tools.cluster"),
)
# The packages that decode images and run networks.
_PACKAGES = ("ai-edge-litert", "numpy", "pillow", "pillow-heif", "pyarrow", "tensorflow-cpu")


def loaded_modules() -> list[str]:
    """Returns the sorted names of the modules in use that run on all machines."""
    return sorted(name for name in sys.modules if name.startswith(tuple(f"{r}." for r in _ROOMS)))


def describe(modules: Collection[str]) -> dict[str, str]:
    """Returns what must be equal on all machines: a text for each module and package.

    Args:
        modules: Names of modules, whose source files are compared. Others are ignored.
    """
    versions = {"Python": ".".join(platform.python_version_tuple()[:2])}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "missing"
    return versions | {name: _digest(name) for name in modules if name not in versions}


def _digest(module: str) -> str:
    try:
        spec = importlib.util.find_spec(module)
    except ImportError:
        spec = None
    if spec is None or spec.origin is None:
        return "missing"
    return hashlib.sha256(Path(spec.origin).read_bytes()).hexdigest()


def difference(expected: Mapping[str, str], found: Mapping[str, str]) -> str | None:
    """Returns what is different on another machine, as text, or None if nothing is."""
    different = [name for name, value in expected.items() if found.get(name) != value]
    if not different:
        return None
    packages = [
        f"{name} {found.get(name, 'missing')} instead of {expected[name]}"
        for name in different
        if name == "Python" or name in _PACKAGES
    ]
    modules = [name for name in different if name != "Python" and name not in _PACKAGES]
    if modules:
        packages.append(f"other sources of {name_some(modules, most=2)}")
    return ", ".join(packages)

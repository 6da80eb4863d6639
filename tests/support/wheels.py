"""Makes Python packages, and serves them like a package index."""

import contextlib
import io
import os
import zipfile
from collections.abc import Iterator, Mapping
from unittest import mock

from tests.support.file_server import FileServer, serving


def file_name(package: str, version: str) -> str:
    """Returns the name of the wheel of a pure Python package."""
    return f"{package}-{version}-py3-none-any.whl"


def make_wheel(package: str, version: str, files: Mapping[str, bytes]) -> bytes:
    """Returns a wheel with some files."""
    info = f"{package}-{version}.dist-info"
    description = f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"
    metadata = {
        f"{info}/METADATA": description.encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in {**files, **metadata}.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@contextlib.contextmanager
def package_index(package: str, name: str, wheel: bytes) -> Iterator[FileServer]:
    """Makes pip use a package index on this machine that has one wheel, and nothing else.

    Args:
        package: Name of the package.
        name: File name of the wheel.
        wheel: Content of the wheel.
    """
    page = f'<!DOCTYPE html><html><body><a href="/{name}">{name}</a></body></html>'
    normalised = package.replace("_", "-")
    files = {f"/simple/{normalised}/": page.encode(), f"/{name}": wheel}
    with serving(files) as server, pip_settings(f"{server.url}/simple"):
        yield server


@contextlib.contextmanager
def pip_settings(index_url: str) -> Iterator[None]:
    """Makes pip ignore the settings of this machine, and use a package index."""
    settings = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": index_url, "PIP_NO_CACHE_DIR": "1"}
    others = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    with mock.patch.dict("os.environ", {**others, **settings}, clear=True):
        yield

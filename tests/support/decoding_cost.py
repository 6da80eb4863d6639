"""Measures what decoding one image takes, in fresh processes."""

import dataclasses
import json
import tempfile
from pathlib import Path
from typing import NamedTuple

from retrain.data.image_limits import DEFAULT_LIMITS, ImageLimits
from tests.support.python_code import run_python

# Prints what became of a file, the bytes by which the peak memory grew with that of the process
# that decodes for it, and the seconds.
_DECODE = """
import io, json, resource, sys, time
from pathlib import Path
from PIL import Image
from retrain.training_options import DistortionOptions
from retrain.data import distortions, isolated_decoding, pixels
from retrain.data.image_limits import ImageLimits

path, fields = Path(sys.argv[1]), json.loads(sys.argv[2])
size = {"height": fields["height"], "width": fields["width"]}
limits = ImageLimits(**fields["limits"])

def memory(field, process="self"):
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(field))

# All modules are loaded, and the other process is started, before the measurement.
for name in "PNG", "JPEG", "GIF", "BMP", "WEBP", "AVIF":
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, name)
    pixels.decode(file.getvalue(), 64, 64)
import pillow_heif
pillow_heif.register_heif_opener()
file = io.BytesIO()
Image.new("RGB", (64, 64)).save(file, "HEIF")
pixels.decode(file.getvalue(), 64, 64)
decoder = isolated_decoding._idle[0]._process

def growth(process):
    try:
        return memory("VmHWM", process) - started[process]
    except FileNotFoundError:
        return 0

data = path.read_bytes()
started = {process: memory("VmHWM", process) for process in ("self", decoder.pid)}
if fields["available_bytes"]:
    maximum = memory("VmSize") + fields["available_bytes"]
    resource.setrlimit(resource.RLIMIT_AS, (maximum, maximum))
start = time.monotonic()
try:
    if fields["distorted"]:
        options = DistortionOptions(random_crop=10, random_scale=10)
        list(distortions.decode_variants(data, [0, 1], options, digest=b"", limits=limits, **size))
    else:
        pixels.decode(data, limits=limits, **size)
    print("decoded")
except pixels.UnreadableImageError as error:
    print(error)
seconds = time.monotonic() - start
if decoder.poll() is not None:
    started[decoder.pid] = 0
print(sum(growth(process) for process in started))
print(seconds)
"""


class DecodingCost(NamedTuple):
    """What became of a file, and what that took.

    Attributes:
        outcome: "decoded", or why the image was refused.
        memory: Growth of the peak memory in bytes, without the decoder that was ended.
        seconds: Time in seconds.
    """

    outcome: str
    memory: int
    seconds: float


def measure(
    data: bytes,
    *,
    height: int = 224,
    width: int = 224,
    available_bytes: int = 0,
    distorted: bool = False,
    limits: ImageLimits = DEFAULT_LIMITS,
) -> DecodingCost:
    """Decodes a file in a new process.

    Args:
        data: Content of the file.
        height: Height of the result in pixels.
        width: Width of the result in pixels.
        available_bytes: Memory that the process can use for it; 0 for any.
        distorted: Whether distorted variants are decoded as well.
        limits: Budget of the image.

    Raises:
        RuntimeError: If the process fails, or prints more than the outcome.
    """
    fields = {
        "height": height,
        "width": width,
        "available_bytes": available_bytes,
        "distorted": distorted,
        "limits": dataclasses.asdict(limits),
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "image")
        path.write_bytes(data)
        process = run_python(_DECODE, path, json.dumps(fields), timeout=120)
    if process.returncode or process.stderr:
        raise RuntimeError(f"exit status {process.returncode}: {process.stderr}")
    outcome, memory, seconds = process.stdout.splitlines()
    return DecodingCost(outcome, int(memory), float(seconds))

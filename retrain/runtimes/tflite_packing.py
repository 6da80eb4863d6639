"""Parses TFLite files into objects that can be changed, and writes these objects as files.

The format: https://github.com/google-ai-edge/LiteRT/blob/main/tflite/converter/schema/schema.fbs
"""

from typing import Any

import flatbuffers
import numpy as np

_IDENTIFIER = b"TFL3"
# Alignment of tensor data in bytes, as the schema requires.
_ALIGNMENT = 16


def parse(flatbuffer: bytes) -> Any:
    """Returns a TFLite file that LiteRT is known to accept as a `ModelT` of the schema."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(flatbuffer)
    for buffer in model.buffers:
        if buffer.offset > 1:  # Some programs store tensor data after the flatbuffer.
            content = flatbuffer[buffer.offset : buffer.offset + buffer.size]
            buffer.data = np.frombuffer(content, np.uint8)
            buffer.offset = buffer.size = 0
    return model


def pack(model: Any) -> bytes:
    """Returns the TFLite file of a `ModelT`."""
    builder = _AligningBuilder()
    builder.Finish(model.Pack(builder), _IDENTIFIER)
    return bytes(builder.Output())


class _AligningBuilder(flatbuffers.Builder):
    """Aligns tensor data, which the generated Python code does not."""

    def CreateNumpyVector(self, x: np.ndarray) -> int:  # noqa: N802 (overrides a base method)
        self.Prep(_ALIGNMENT, x.nbytes)
        return super().CreateNumpyVector(x)

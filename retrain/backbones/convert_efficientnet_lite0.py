"""Converts the published weights of EfficientNet-Lite0 to the files of the default backbone.

Bazel runs this program when it builds the project. The arguments name the files to write:
    graph=FILE.pb tflite=FILE.tflite fingerprint=FILE.txt  (all or none)
    keras=FILE.keras
    classifier=FILE.npz  (the layer after the bottleneck, for ImageNet's classes)
"""

import hashlib
import importlib.util
import sys
from pathlib import Path

import numpy as np

from retrain.backbones import efficientnet_lite_network as network
from retrain.backbones import efficientnet_lite_variants as variants
from retrain.backbones import feature_parity, freeze, tflite_conversion, torch_file
from retrain.metadata import GRAPH_FEATURES
from retrain.system.program.console import print_library_messages, quiet_libraries


def main(arguments: list[str]) -> None:
    """Writes the files that the arguments name."""
    files = {kind: Path(path) for kind, _, path in (a.partition("=") for a in arguments)}
    model, classifier, bias = network.build(variants.LITE0, torch_file.read_tensors(weights_file()))
    if "classifier" in files:
        with files["classifier"].open("wb") as file:
            np.savez(file, weights=classifier, bias=bias)
    if "graph" in files:
        graph = freeze.to_graph(model, variants.MEAN, variants.STD).SerializeToString(
            deterministic=True
        )
        tflite = tflite_conversion.convert_keras(model)
        side = variants.LITE0.image_size
        feature_parity.check(model, (side, side), graph=graph, tflite=tflite, tensor=GRAPH_FEATURES)
        files["graph"].write_bytes(graph)
        files["tflite"].write_bytes(tflite)
        # Bottlenecks in the caches of versions without features of earlier stages have this
        # fingerprint. They stay valid.
        last_layer = tflite_conversion.convert_keras(freeze.last_layer(model))
        files["fingerprint"].write_text(hashlib.sha256(last_layer).hexdigest())
    if "keras" in files:
        model.save(files["keras"])


def weights_file() -> Path:
    """Returns the path of the published weights in the installed package."""
    package = variants.LITE0.package
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"{package} is not installed")
    (path,) = Path(spec.submodule_search_locations[0]).rglob(variants.LITE0.weights_file)
    return path


if __name__ == "__main__":
    # Bazel prints the output of a successful action, and a user builds before the first run.
    try:
        with quiet_libraries():
            main(sys.argv[1:])
    except BaseException:
        print_library_messages()
        raise

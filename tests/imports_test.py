"""Imports point one way, and the BUILD files say what the modules import."""

import ast
import sys
from pathlib import Path

from absl.testing import absltest, parameterized

# What may import what: a module may import those in rows below its own, and the named exceptions.
_LAYERS = (
    ("tools", "examples", "tests"),
    ("label_image.main",),
    ("label_image.formatting",),
    ("label_image.classifier",),
    ("label_image.runtimes",),
    ("label_image.exported_graph", "label_image.session_graph", "label_image.tflite_file"),
    ("label_image.graph_constants", "label_image.interface", "label_image.labels_file"),
    ("retrain.main",),
    ("retrain.pipeline", "retrain.coreml_flags"),
    ("retrain.fine_tuning.choice",),
    ("retrain.training", "retrain.run_plots"),
    ("retrain.outputs",),
    ("retrain.exports", "retrain.report", "retrain.summaries"),
    ("retrain.export",),
    ("retrain.export.coreml_conversion", "retrain.export.tflite_ends"),
    ("retrain.export.network", "retrain.export.tflite_metadata", "retrain.export.coreml_rounding"),
    ("retrain.export.coreml_reference.model",),
    (
        "retrain.export.coreml_reference.program",
        "retrain.export.coreml_reference.neural_network",
    ),
    ("retrain.export.coreml_reference.layers",),
    ("retrain.export.coreml_reference.kernels", "retrain.export.tflite_editor"),
    ("retrain.fine_tuning.tuned_backbone",),
    ("retrain.trained", "retrain.calibration", "retrain.logistic_regression"),
    ("retrain.fresh_features", "retrain.export.assemble", "retrain.fine_tuning.learning"),
    ("retrain.course", "retrain.fine_tuning.checkpoint"),
    (
        "retrain.bottlenecks",
        "retrain.evaluation",
        "retrain.export.answers",
        "retrain.head",
    ),
    ("retrain.bottleneck_job", "retrain.class_weights", "retrain.int8_network"),
    ("retrain.backbones.convert_efficientnet_lite0", "retrain.backbones.registry"),
    (
        "retrain.backbones.frozen_graph",
        "retrain.backbones.hub_module",
        "retrain.backbones.keras_applications",
    ),
    ("retrain.backbones.keras_files", "retrain.fine_tuning.pictures"),
    ("retrain.backbones", "retrain.bottleneck_store", "retrain.fine_tuning.layers"),
    ("retrain.backbones.quantise",),
    ("retrain.backbones.freeze",),
    ("retrain.backbones.graph_parts", "retrain.backbones.keras_table"),
    ("retrain.backbones.graph_pixels", "retrain.bottleneck_file"),
    ("retrain.backbones.spec", "retrain.backbones.efficientnet_lite0_network"),
    ("retrain.images", "retrain.export.metadata"),
    ("retrain.folders", "retrain.labels", "retrain.splits"),
    ("retrain.distortions",),
    (
        "retrain.pixels",
        "retrain.graph_session",
        "retrain.litert",
        "retrain.progress",
        "retrain.clock",
    ),
    ("retrain.download", "retrain.plots"),
    ("retrain.file_lock",),
    ("retrain.command_line",),
    ("retrain.export.coreml_options",),
    ("retrain.config",),
    ("retrain.runtime",),
    ("retrain.errors",),
)
# What label_image may know of retrain.
_FOR_USERS_OF_A_CLASSIFIER = {
    "retrain.backbones.registry",
    "retrain.backbones.spec",
    "retrain.command_line",
    "retrain.errors",
    "retrain.export.metadata",
    "retrain.graph_session",
    "retrain.head",
    "retrain.litert",
    "retrain.pixels",
    "retrain.runtime",
}
_HEAVY = {
    *("ai_edge_litert", "ai_edge_quantizer", "coremltools", "h5py", "keras", "matplotlib", "scipy"),
    *("tensorboard", "tensorflow", "tqdm"),
}
_ROOMS = ("retrain", "label_image", "tools", "examples", "tests")


def _modules() -> dict[str, Path]:
    return {
        ".".join(path.with_suffix("").parts): path
        for room in _ROOMS
        for path in sorted(Path(room).rglob("*.py"))
    }


_MODULES = _modules()


def _imported(tree: ast.AST) -> set[str]:
    """Returns the full names of modules that are imported anywhere in the code."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, "imports name the whole module"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                names.add(full if full in _MODULES else node.module)
    return names


def _ours(module: str) -> set[str]:
    return _imported(ast.parse(_MODULES[module].read_text())) & set(_MODULES)


def _layer(module: str) -> int:
    """Returns the row of the longest name that is the module's or that of a package around it."""
    fits = [
        (len(name), row)
        for row, names in enumerate(_LAYERS)
        for name in names
        if module == name or module.startswith(f"{name}.")
    ]
    assert fits, f"{module} has no row in _LAYERS: say where it stands"
    return max(fits)[1]


class DirectionsTest(parameterized.TestCase):
    @parameterized.parameters(*_MODULES)
    def test_imports_point_down(self, module: str):
        for other in _ours(module):
            same_room = module.split(".")[0] in _LAYERS[0] and other.split(".")[0] in _LAYERS[0]
            if not same_room:
                self.assertGreater(_layer(other), _layer(module), f"{module} imports {other}")

    def test_only_tests_import_tests(self):
        for module in _MODULES:
            if not module.startswith("tests."):
                self.assertEmpty([m for m in _ours(module) if m.startswith("tests.")], module)

    def test_label_image_knows_little_of_retrain(self):
        for module in _MODULES:
            if module.startswith("label_image."):
                known = {m for m in _ours(module) if m.startswith("retrain.")}
                self.assertContainsSubset(known, _FOR_USERS_OF_A_CLASSIFIER, module)

    def test_kinds_of_export_do_not_import_one_another(self):
        kinds = {
            f"retrain.export.{kind}"
            for kind in ("coreml", "frozen_graph", "keras_file", "saved_model", "tflite")
        }
        for module in kinds:
            self.assertEmpty(kinds & _ours(module), module)

    def test_no_module_hides_one_of_the_standard_library(self):
        for module in _MODULES:
            self.assertNotIn(module.rpartition(".")[2], sys.stdlib_module_names)


class WeightTest(parameterized.TestCase):
    @parameterized.parameters(*[m for m in _MODULES if not m.startswith(("tests.", "tools."))])
    def test_heavy_packages_are_imported_where_they_are_used(self, module: str):
        tree = ast.parse(_MODULES[module].read_text())
        at_start = _imported(
            ast.Module([n for n in tree.body if not isinstance(n, _DEFINITION)], [])
        )
        heavy = {name for name in at_start if name.split(".")[0] in _HEAVY}
        self.assertEmpty(heavy, f"{module} imports at its start what takes long to load")


_DEFINITION = (ast.FunctionDef, ast.ClassDef)


class BuildFilesTest(parameterized.TestCase):
    """BUILD files are near enough to Python that its parser reads them."""

    @parameterized.parameters(*sorted({str(p.parent) for p in _MODULES.values()}))
    def test_dependencies_are_the_imports(self, folder: str):
        rules = _rules(Path(folder, "BUILD"))
        for module, path in _MODULES.items():
            if str(path.parent) == folder:
                self.assertTrue(path.name in rules, f"{folder}/BUILD has no rule for {path.name}")
                missing = {_label(m, folder) for m in _ours(module)} - rules[path.name]
                self.assertEmpty(missing, f"{path} imports what its rule does not list")
                listed = {d for d in rules[path.name] if not d.startswith("@")}
                spare = listed - {_label(m, folder) for m in _ours(module)}
                if not folder.startswith("tests"):
                    self.assertEmpty(spare, f"the rule of {path} lists what it does not import")


def _rules(build: Path) -> dict[str, set[str]]:
    """Returns the deps of each rule by the name of its one source."""
    rules = {}
    for call in ast.walk(ast.parse(build.read_text())):
        if isinstance(call, ast.Call) and getattr(call.func, "id", "").startswith("py_"):
            arguments = {k.arg: k.value for k in call.keywords}
            (source,) = ast.literal_eval(arguments["srcs"])
            rules[source] = set(ast.literal_eval(arguments.get("deps", ast.List([]))))
    return rules


def _label(module: str, folder: str) -> str:
    path = _MODULES[module]
    name = path.parent.name if path.name == "main.py" else path.stem
    if str(path.parent) == folder:
        return f":{name}"
    return f"//{path.parent}" if name == path.parent.name else f"//{path.parent}:{name}"


if __name__ == "__main__":
    absltest.main()

"""Imports point in one direction, and BUILD files list what the modules import."""

import ast
import graphlib
import sys
from pathlib import Path

from absl.testing import absltest, parameterized

# The rooms from the highest to the lowest. A module imports from its own room and from lower rows.
_ROWS = (
    ("tests", "examples", "tools"),
    ("label_image", "retrain.main"),
    ("retrain.pipeline", "retrain.flags"),
    ("retrain.report",),
    ("retrain.export",),
    ("retrain.fine_tuning", "retrain.comparison"),
    ("retrain.shards",),
    ("retrain.training",),
    ("retrain.data_check",),
    ("retrain.bottlenecks",),
    ("retrain.backbones", "retrain.heat_maps"),
    ("retrain.data", "retrain.runtimes"),
    ("retrain.system.downloads", "retrain.system.outputs"),
    ("retrain.system.program",),
    ("retrain.system.files",),
    ("retrain.system",),
    ("retrain.errors", "retrain.config", "retrain.metadata", "retrain.version"),
    ("retrain.model_limits", "retrain.output_options", "retrain.training_options"),
)
# What label_image can import from retrain.
_FOR_USERS_OF_A_CLASSIFIER = {
    "retrain.backbones.efficientnet_lite0",
    "retrain.data.image_limits",
    "retrain.data.image_reader",
    "retrain.data.pixels",
    "retrain.errors",
    "retrain.heat_maps",
    "retrain.runtimes",
    "retrain.system",
}
_HEAVY = {
    *("ai_edge_litert", "ai_edge_quantizer", "coremltools", "h5py", "keras", "matplotlib", "scipy"),
    *("tensorboard", "tensorflow", "tqdm", "fsspec", "pandas", "pyarrow", "ray"),
}
_TOP_FOLDERS = ("retrain", "label_image", "tools", "examples", "tests")


def _modules() -> dict[str, Path]:
    return {
        ".".join(path.with_suffix("").parts): path
        for folder in _TOP_FOLDERS
        for path in sorted(Path(folder).rglob("*.py"))
    }


_MODULES = _modules()


def _imported(tree: ast.AST) -> set[str]:
    """Returns the full names of all modules that the code imports."""
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


def _is_in(module: str, room: str) -> bool:
    return module == room or module.startswith(f"{room}.")


def _room(module: str) -> tuple[int, str]:
    """Returns the index of the module's row, where 0 is the highest, and the name of its room."""
    found = [
        (row, room) for row, names in enumerate(_ROWS) for room in names if _is_in(module, room)
    ]
    assert found, f"{module} is in no room of _ROWS; add its room"
    return found[0]


class DirectionsTest(parameterized.TestCase):
    @parameterized.parameters(*_MODULES)
    def test_imports_point_down(self, module: str):
        row, room = _room(module)
        for other in _ours(module):
            other_row, other_room = _room(other)
            # Programs, examples and tests are one row of rooms that may use each other.
            if other_room != room and other_row + row > 0:
                self.assertGreater(other_row, row, f"{module} imports {other}")

    def test_there_are_no_import_cycles(self):
        imports = {module: _ours(module) for module in _MODULES}
        try:
            list(graphlib.TopologicalSorter(imports).static_order())
        except graphlib.CycleError as error:
            self.fail(f"these modules import each other: {' -> '.join(error.args[1])}")

    def test_only_tests_import_tests(self):
        for module in _MODULES:
            if not module.startswith("tests."):
                self.assertEmpty([m for m in _ours(module) if m.startswith("tests.")], module)

    def test_label_image_imports_only_part_of_retrain(self):
        for module in _MODULES:
            if module.startswith("label_image."):
                known = {m for m in _ours(module) if m.startswith("retrain.")}
                foreign = [
                    m for m in known if not any(_is_in(m, r) for r in _FOR_USERS_OF_A_CLASSIFIER)
                ]
                self.assertEmpty(foreign, f"{module} should not import these")

    def test_export_formats_do_not_import_each_other(self):
        kinds = {
            f"retrain.export.{kind}"
            for kind in ("coreml", "frozen_graph", "keras_file", "saved_model", "tflite")
        }
        for module in kinds:
            self.assertEmpty(kinds & _ours(module), module)

    def test_mains_handle_signals_before_they_import_others(self):
        mains = [m for m in _MODULES if "command_line.run(" in _MODULES[m].read_text()]
        programs = [main for main in mains if not main.startswith(("tests.", "examples."))]
        self.assertGreaterEqual(len(programs), 6)
        for module in programs:
            body = ast.parse(_MODULES[module].read_text()).body
            first = next(ast.unparse(node) for node in body if not isinstance(node, ast.Expr))
            self.assertEqual(first, "from retrain.system.program import exit_on_signals", module)

    def test_no_module_has_the_name_of_a_standard_module(self):
        for module in _MODULES:
            self.assertNotIn(module.rpartition(".")[2], sys.stdlib_module_names)


class WeightTest(parameterized.TestCase):
    @parameterized.parameters(*[m for m in _MODULES if not m.startswith(("tests.", "tools."))])
    def test_heavy_packages_are_imported_in_functions(self, module: str):
        tree = ast.parse(_MODULES[module].read_text())
        at_start = _imported(
            ast.Module([n for n in tree.body if not isinstance(n, _DEFINITION)], [])
        )
        heavy = {name for name in at_start if name.split(".")[0] in _HEAVY}
        self.assertEmpty(heavy, f"{module} imports heavy packages at module level")


_DEFINITION = (ast.FunctionDef, ast.ClassDef)


class BuildFilesTest(parameterized.TestCase):
    """Checks BUILD files, which the Python parser can read."""

    @parameterized.parameters(*sorted({str(p.parent) for p in _MODULES.values()}))
    def test_deps_match_the_imports(self, folder: str):
        rules = _rules(Path(folder, "BUILD"))
        for module, path in _MODULES.items():
            if str(path.parent) == folder:
                self.assertTrue(path.name in rules, f"{folder}/BUILD has no rule for {path.name}")
                missing = {_label(m, folder) for m in _ours(module)} - rules[path.name]
                self.assertEmpty(missing, f"{path} imports modules that its rule does not list")
                listed = {d for d in rules[path.name] if not d.startswith("@")}
                spare = listed - {_label(m, folder) for m in _ours(module)}
                if not folder.startswith("tests"):
                    self.assertEmpty(spare, f"the rule of {path} lists unused modules")


def _rules(build: Path) -> dict[str, set[str]]:
    """Returns the deps of each rule, keyed by the name of its only source."""
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

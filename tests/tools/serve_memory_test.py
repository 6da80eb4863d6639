"""The documented memory of the server agrees with its limits, and containers have as much."""

import re
from pathlib import Path

from absl import flags
from absl.testing import absltest

from tools import serve

_FORMULA = re.compile(r"^    (\d+ \+ .*max_megapixels.*)$", re.MULTILINE)
_LIMIT = re.compile(r"^ *memory: (\d+)M$", re.MULTILINE)
_PROCESSORS = 2


class ServeMemoryTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        match = _FORMULA.search(Path("docs/serving.md").read_text())
        assert match
        self.formula = match[1]

    def megabytes(self, **changed: float) -> float:
        """Returns the value of the documented formula."""
        values = {name: flags.FLAGS[name].value for name in ("max_megabytes", "max_megapixels")}
        return eval(self.formula, {"processors": _PROCESSORS, **values, **changed})

    def difference(self, **changed: float) -> float:
        return self.megabytes(**changed) - self.megabytes()

    def test_the_formula_has_the_factors_of_the_program(self):
        workers = serve._WORKERS_PER_PROCESSOR * _PROCESSORS + serve._SPARE_WORKERS
        pixels, size = flags.FLAGS.max_megapixels, flags.FLAGS.max_megabytes
        self.assertEqual(
            self.difference(max_megapixels=pixels + 1), workers * serve._BYTES_PER_PIXEL
        )
        self.assertEqual(
            self.difference(max_megabytes=size + 1),
            serve._MAX_BODIES_HELD + workers * serve._COPIES_OF_FILE,
        )

    def test_the_values_in_the_pages_are_those_of_the_formula(self):
        default, small = (
            f"{self.megabytes():,.0f} MB",
            f"{self.megabytes(max_megapixels=12):,.0f} MB",
        )
        self.assertIn(default, Path("docs/serving.md").read_text())
        page = Path("docker/README.md").read_text()
        self.assertIn(default, page)
        self.assertIn(small, page)

    def test_containers_have_as_much_memory(self):
        for file in ("docker/compose.yaml", "deploy/kubernetes.yaml"):
            limits = [int(text) for text in _LIMIT.findall(Path(file).read_text())]
            self.assertLen(limits, 1, file)
            self.assertGreaterEqual(limits[0], self.megabytes(), file)


if __name__ == "__main__":
    absltest.main()

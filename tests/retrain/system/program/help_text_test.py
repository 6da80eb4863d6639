"""The text of --help lists flags in groups."""

from absl.testing import absltest

from tests.support.python_code import run_python

# A module that defines flags, and a program that has them next to its own.
_PROGRAM = """
import sys, types
from absl import flags
from retrain.system.program.help_text import help_text
group = types.ModuleType("image_flags")
group.HEADING = "Images to use"
sys.modules["image_flags"] = group
definition = "from absl import flags; flags.DEFINE_string('dir', None, 'Folder with images.')"
flags.DEFINE_integer("number", 3, "Number of things.")
exec(definition, group.__dict__)
flags.adopt_module_key_flags(group)
print(help_text("Does little."))
"""


class HelpTextTest(absltest.TestCase):
    def test_flags_of_a_module_with_a_heading_are_a_group(self):
        done = run_python(_PROGRAM, check=True)
        self.assertEqual(
            done.stdout,
            """\
Does little.

Flags:
  --number=3
      Number of things.

Images to use:
  --dir=
      Folder with images.

Other:
  --version
      Print the version and exit.
""",
        )


if __name__ == "__main__":
    absltest.main()

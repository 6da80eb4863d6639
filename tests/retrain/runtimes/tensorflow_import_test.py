"""Tests that a part of TensorFlow can be imported, and that all of it works afterwards."""

import subprocess
import sys

from absl.testing import absltest, parameterized

from retrain.runtimes import tensorflow_import

_USE_EVERYTHING = """
import tensorflow as tf
import keras
equal = tf.function(lambda numbers: numbers == tf.constant([1.0, 2.0]))
assert equal(tf.constant([1.0, 3.0])).numpy().tolist() == [True, False]
assert tf.executing_eagerly() and tf.compat.v1.executing_eagerly_outside_functions()
assert tf.keras.Model is keras.Model and tf.__version__
assert type(tf) is type(sys)
model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
assert model(tf.ones((4, 3))).shape == (4, 2)
print("everything works")
"""


def _run(code: str) -> subprocess.CompletedProcess:
    """Runs code in a new process, in which nothing is imported yet."""
    header = f"import sys, threading\nimport {tensorflow_import.__name__} as tensorflow_import\n"
    return subprocess.run(
        [sys.executable, "-c", header + code],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
    )


class TensorFlowImportTest(parameterized.TestCase):
    def test_a_session_does_not_load_the_rest(self):
        done = _run(
            "modules = tensorflow_import.import_session_modules()\n"
            "print(hasattr(modules.session, 'Session'))\n"
            "print([name for name in ('keras', 'tensorflow._api') if name in sys.modules])\n"
        )
        self.assertEqual(done.stdout, "True\n[]\n", done.stderr)
        self.assertEqual(done.stderr, "")

    @parameterized.parameters(
        ("from tensorflow import keras",),
        ("import keras",),
        ("from tensorflow.python.framework import convert_to_constants",),
        ("import coremltools",),
    )
    def test_everything_can_be_imported_afterwards(self, first: str):
        done = _run(f"tensorflow_import.import_session_modules()\n{first}\n{_USE_EVERYTHING}")
        self.assertEndsWith(done.stdout, "everything works\n", done.stderr)

    def test_everything_can_be_imported_while_another_thread_imports_a_part(self):
        done = _run(
            "threading.Thread(target=tensorflow_import.import_session_modules).start()\n"
            "while 'tensorflow' not in sys.modules: pass\n" + _USE_EVERYTHING
        )
        self.assertEndsWith(done.stdout, "everything works\n", done.stderr)

    def test_loaded_tensorflow_stays_as_it_is(self):
        done = _run(
            "import tensorflow as tf\n"
            "tensorflow_import.import_session_modules()\n"
            "assert sys.modules['tensorflow'] is tf\n" + _USE_EVERYTHING
        )
        self.assertEndsWith(done.stdout, "everything works\n", done.stderr)

    def test_an_unknown_attribute_is_an_attribute_error(self):
        done = _run(
            "tensorflow_import.import_lazily()\n"
            "import tensorflow as tf\n"
            "for _ in range(2):\n"
            "    try: tf.no_such_thing\n"
            "    except AttributeError as error: print(error)\n"
        )
        self.assertEqual(done.stdout.count("no_such_thing"), 2, done.stderr)

    def test_missing_tensorflow_is_named(self):
        done = _run(
            "import importlib.util\n"
            "importlib.util.find_spec = lambda name: None\n"
            "try: tensorflow_import.import_lazily()\n"
            "except ModuleNotFoundError as error: print(error.name)\n"
        )
        self.assertEqual(done.stdout, "tensorflow\n", done.stderr)


if __name__ == "__main__":
    absltest.main()

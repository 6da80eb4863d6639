"""Tests runtimes that are made of functions."""

import numpy as np
from absl.testing import absltest

from retrain.runtimes.function_runtime import FunctionRuntime
from retrain.runtimes.runtime import Description, ModelError, Outputs


class FunctionRuntimeTest(absltest.TestCase):
    def test_the_functions_are_called(self):
        runtime = FunctionRuntime(
            lambda pixels: Outputs(2 * pixels), predict_file=lambda data: Outputs(np.array([7]))
        )
        self.assertEqual((runtime.takes_pixels, runtime.takes_files), (True, True))
        self.assertEqual(runtime.run(np.array(3)), 6)
        self.assertEqual(runtime.run_file(b""), 7)

    def test_without_a_function_files_are_refused(self):
        runtime = FunctionRuntime(Outputs)
        self.assertFalse(runtime.takes_files)
        with self.assertRaises(ModelError):
            runtime.run_file(b"")

    def test_a_runtime_describes_how_to_use_it(self):
        runtime = FunctionRuntime(Outputs)
        self.assertEqual(runtime.description, Description())
        self.assertGreaterEqual(runtime.workers, 1)
        self.assertGreaterEqual(runtime.batch_size, 1)

    def test_it_does_not_run_after_it_was_closed(self):
        runtime = FunctionRuntime(Outputs)
        runtime.close()
        with self.assertRaises(AttributeError):
            runtime.run(np.array(3))


if __name__ == "__main__":
    absltest.main()

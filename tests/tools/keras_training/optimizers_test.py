"""Models are compiled with the optimizer, schedule and loss that the options select."""

from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized

from tools.keras_training import optimizers
from tools.keras_training.options import COSINE, SGD, Options


class OptimizersTest(parameterized.TestCase):
    def compile_model(self, *, steps: int = 10, **changes):
        from tensorflow import keras

        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation="softmax")])
        options = Options(
            Path("train"), "cnn_chollet", Path("output"), bottleneck_dir=Path("/cache"), **changes
        )
        optimizers.compile_model(model, options, steps)
        return model

    def test_adam_with_a_constant_rate_is_the_default(self):
        optimizer = self.compile_model().optimizer
        self.assertEqual(type(optimizer).__name__, "Adam")
        self.assertAlmostEqual(float(optimizer.learning_rate), 0.001)

    @parameterized.parameters((None, 0.9, True), (0.5, 0.5, True), (0.0, 0.0, False))
    def test_momentum_of_sgd(self, momentum: float | None, expected: float, nesterov: bool):
        optimizer = self.compile_model(optimizer=SGD, momentum=momentum).optimizer
        self.assertEqual((optimizer.momentum, optimizer.nesterov), (expected, nesterov))

    def test_cosine_schedule_ends_at_zero(self):
        optimizer = self.compile_model(schedule=COSINE, learning_rate=0.5, steps=10).optimizer
        rates = []
        for step in (0, 5, 10):
            optimizer.iterations.assign(step)
            rates.append(float(optimizer.learning_rate))
        np.testing.assert_allclose(rates, [0.5, 0.25, 0], atol=1e-6)

    def test_label_smoothing_is_part_of_the_loss(self):
        truth, right = np.array([[0.0, 1.0]]), np.array([[0.01, 0.99]])
        plain = float(self.compile_model().loss(truth, right))
        smooth = float(self.compile_model(label_smoothing=0.2).loss(truth, right))
        self.assertAlmostEqual(plain, -np.log(0.99), places=4)
        self.assertAlmostEqual(smooth, -0.9 * np.log(0.99) - 0.1 * np.log(0.01), places=4)

    def test_variables_of_the_optimizer_exist_before_the_first_step(self):
        model = self.compile_model()
        shapes = [tuple(variable.shape) for variable in model.optimizer.variables]
        # Two moments for the kernel and the bias.
        self.assertEqual(shapes.count((4, 2)), 2)
        self.assertEqual(shapes.count((2,)), 2)


if __name__ == "__main__":
    absltest.main()

"""Tests that hostile images are decoded or refused within the budget, with one line."""

from absl.testing import absltest, parameterized

from retrain.data import pixels
from retrain.data.image_limits import DEFAULT_LIMITS, ImageLimits
from tests.support import decoding_cost
from tests.support.hostile_images import ATTACKS

# As a server has them.
_STRICT = ImageLimits(pixels=50_000_000, memory_bytes=300_000_000, seconds=10)
_MIB = 1 << 20


class HostileImagesTest(parameterized.TestCase):
    @parameterized.named_parameters(
        (attack.name, attack.write, attack.outcome) for attack in ATTACKS
    )
    def test_is_decoded_or_refused_in_one_line(self, write, outcome):
        data = write()
        for limits in (_STRICT, DEFAULT_LIMITS):
            try:
                pixels.decode(data, 32, 32, limits=limits)
                result = "decoded"
            except pixels.UnreadableImageError as error:
                result = str(error)
            self.assertRegex(result, outcome)
            self.assertNotIn("\n", result)

    @parameterized.named_parameters(
        (attack.name, attack.write) for attack in ATTACKS if not attack.stays_small
    )
    def test_takes_no_more_memory_than_the_limit(self, write):
        cost = decoding_cost.measure(write(), limits=_STRICT)
        self.assertLess(cost.memory, _STRICT.memory_bytes + 10 * _MIB, cost.outcome)

    @parameterized.named_parameters(
        (attack.name, attack.write)
        for attack in ATTACKS
        if attack.stays_small and attack.outcome == "decoded"
    )
    def test_harmless_files_take_little_memory(self, write):
        data = write()
        cost = decoding_cost.measure(data)
        self.assertLess(cost.memory, 2 * len(data) + 8 * _MIB)


if __name__ == "__main__":
    absltest.main()

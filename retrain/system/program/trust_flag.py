"""The flag that allows networks of others to do more than compute."""

from absl import flags

TRUST_MODEL = flags.DEFINE_boolean(
    "trust_model",
    False,
    "Whether to run a TensorFlow graph of another program even if it can read and write files, use "
    "the network, or use random numbers. By default, such a graph is refused.",
)

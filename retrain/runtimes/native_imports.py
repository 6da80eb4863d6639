"""Keeps libraries with native code from being imported by two threads at the same time."""

import threading

# Held during the import of TensorFlow or LiteRT. Both set up pybind11 for the process, which can
# crash if two threads do it at once. No thread sees a half-loaded package either.
LOCK = threading.RLock()

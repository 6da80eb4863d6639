"""Ctrl-C and SIGTERM end programs, but wait until the end of a block or an import."""

import os
import signal
import threading

from absl.testing import absltest, parameterized

from retrain.system.program.interruption import SIGNALS, deferred_signals
from tests.support.python_code import run_python


class DeferredSignalsTest(parameterized.TestCase):
    def test_ctrl_c_is_raised_at_the_end_of_the_block(self):
        steps = []
        with self.assertRaises(KeyboardInterrupt):
            with deferred_signals():
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)
                steps.append("done")
            steps.append("after the block")
        self.assertEqual(steps, ["done"])

    @parameterized.parameters(*SIGNALS)
    def test_handlers_are_called_at_the_end_and_restored(self, number):
        received = []
        self.addCleanup(signal.signal, number, signal.getsignal(number))
        signal.signal(number, lambda number, _: received.append(number))
        handlers = [signal.getsignal(number) for number in SIGNALS]
        with deferred_signals():
            os.kill(os.getpid(), number)
            self.assertEqual(received, [])
        self.assertEqual(received, [number])
        self.assertEqual(handlers, [signal.getsignal(number) for number in SIGNALS])

    def test_all_handlers_are_restored_if_one_of_them_raises_an_exception(self):
        for number in SIGNALS:
            self.addCleanup(signal.signal, number, signal.getsignal(number))
            signal.signal(number, signal.default_int_handler)
        with self.assertRaises(KeyboardInterrupt), deferred_signals():
            for number in SIGNALS:
                os.kill(os.getpid(), number)
        for number in SIGNALS:
            self.assertEqual(signal.getsignal(number), signal.default_int_handler)

    def test_the_process_ends_after_the_block(self):
        done = run_python(
            """
import os, signal
from retrain.system.program.interruption import deferred_signals
with deferred_signals():
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGINT)
    print("done", flush=True)
print("after the block")
"""
        )
        self.assertEqual((done.returncode, done.stdout), (-signal.SIGTERM, "done\n"), done.stderr)

    def test_signals_that_the_user_ignores_stay_ignored(self):
        self.addCleanup(signal.signal, signal.SIGINT, signal.getsignal(signal.SIGINT))
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with deferred_signals():
            os.kill(os.getpid(), signal.SIGINT)
        self.assertEqual(signal.getsignal(signal.SIGINT), signal.SIG_IGN)

    def test_an_exception_of_the_block_is_raised(self):
        with self.assertRaises(ZeroDivisionError), deferred_signals():
            raise ZeroDivisionError
        self.assertEqual(signal.getsignal(signal.SIGINT), signal.default_int_handler)

    def test_other_threads_do_the_block_without_deferring(self):
        handlers = []

        def work() -> None:
            with deferred_signals():
                handlers.append(signal.getsignal(signal.SIGINT))

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        self.assertEqual(handlers, [signal.getsignal(signal.SIGINT)])


class InterruptionTest(absltest.TestCase):
    def test_a_signal_during_an_import_waits_until_the_import_lock_is_free(self):
        done = run_python(
            """
import _imp, signal, time
from retrain.system.program import interruption
interruption.raise_exceptions()
_imp.acquire_lock()
signal.raise_signal(signal.SIGTERM)
time.sleep(0.1)
print("held", flush=True)
try:
    with interruption.deferred_signals():
        _imp.release_lock()
        time.sleep(0.1)
        print("deferred", flush=True)
except interruption.Interruption:
    print("interrupted, and locked:", _imp.lock_held())
"""
        )
        self.assertEqual(
            done.stdout, "held\ndeferred\ninterrupted, and locked: False\n", done.stderr
        )

    def test_an_interrupted_program_does_not_wait_for_threads(self):
        done = run_python(
            """
import atexit, signal, threading
from retrain.system.program import command_line

def main(_):
    atexit.register(print, "cleaned up")
    threading.Thread(target=threading.Event().wait).start()
    signal.raise_signal(signal.SIGTERM)
    threading.Event().wait()

command_line.run(main, "usage")
"""
        )
        self.assertEqual(done.returncode, 128 + signal.SIGTERM, done.stderr)
        self.assertEqual(
            (done.stdout, done.stderr), ("cleaned up\n", "Error: interrupted\n"), done.stderr
        )


if __name__ == "__main__":
    absltest.main()

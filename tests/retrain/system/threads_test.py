"""Work is spread over threads in order, without reading far ahead."""

import threading

from absl.testing import absltest

from retrain.system import threads
from tests.support.python_code import run_python


class ParallelMapTest(absltest.TestCase):
    def test_results_are_in_order(self):
        # Each call waits for the next one, so they end in the reverse order.
        events = [threading.Event() for _ in range(3)]

        def work(index: int) -> int:
            if index < 2:
                events[index + 1].wait(timeout=30)
            events[index].set()
            return index

        self.assertEqual(list(threads.parallel_map(work, range(3), 3)), [0, 1, 2])

    def test_many_items(self):
        result = list(threads.parallel_map(lambda x: x * x, range(1000), 4))
        self.assertEqual(result, [x * x for x in range(1000)])

    def test_no_items(self):
        self.assertEqual(list(threads.parallel_map(str, [], 2)), [])

    def test_few_items_are_taken_in_advance(self):
        taken = []

        def items():
            for item in range(1000):
                taken.append(item)
                yield item

        results = threads.parallel_map(str, items(), 2)
        self.assertEqual(taken, [])
        for done in range(1, 4):
            next(results)
            self.assertLessEqual(len(taken), 32 + done - 1)
        results.close()

    def test_waiting_items_are_dropped_if_the_caller_stops(self):
        started = []
        release = threading.Event()

        def work(item: int) -> int:
            started.append(item)
            if item:
                release.wait(timeout=30)
            return item

        results = threads.parallel_map(work, range(1000), 2)
        next(results)
        threading.Timer(0.1, release.set).start()
        results.close()
        self.assertLessEqual(len(started), 3)

    def test_one_worker_is_the_calling_thread(self):
        results = threads.parallel_map(lambda _: threading.current_thread(), range(3), 1)
        self.assertEqual(set(results), {threading.current_thread()})

    def test_an_exception_of_the_function_is_raised_and_ends_the_work(self):
        started = []

        def work(item: int) -> int:
            started.append(item)
            if item == 3:
                raise ValueError("three")
            return item

        results = threads.parallel_map(work, range(1000), 2)
        received: list[int] = []
        with self.assertRaisesRegex(ValueError, "three"):
            received.extend(results)
        self.assertLess(len(started), 100)

    def test_an_exception_of_the_items_is_raised(self):
        def items():
            yield 1
            raise ValueError("no more")

        with self.assertRaisesRegex(ValueError, "no more"):
            list(threads.parallel_map(str, items(), 2))


class LoadInBackgroundTest(absltest.TestCase):
    def test_the_function_is_called_in_another_thread(self):
        callers = []
        done = threading.Event()

        def load():
            callers.append(threading.current_thread())
            done.set()

        threads.load_in_background(load)
        self.assertTrue(done.wait(timeout=30))
        self.assertIsNot(callers[0], threading.current_thread())

    def test_an_exception_is_ignored(self):
        done = run_python(
            """
from retrain.system import threads
threads.load_in_background(lambda: 1 / 0)
"""
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))


if __name__ == "__main__":
    absltest.main()

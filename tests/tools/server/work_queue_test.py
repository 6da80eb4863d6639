"""The queue limits running and waiting requests and refuses the others."""

import threading

from absl.testing import absltest

from tools.server.work_queue import BusyError, WorkQueue


class WorkQueueTest(absltest.TestCase):
    def test_a_full_queue_refuses_requests_until_one_leaves(self):
        queue = WorkQueue(workers=1, max_waiting=1, timeout=60)
        with queue.admit():
            second = queue.admit()
            second.__enter__()
            with self.assertRaisesRegex(BusyError, "2 requests"), queue.admit():
                self.fail("the queue admitted three requests")
            second.__exit__(None, None, None)
            with queue.admit():
                pass

    def test_no_more_requests_run_than_there_are_workers(self):
        queue = WorkQueue(workers=2, max_waiting=10, timeout=60)
        both_run, finish = threading.Barrier(3), threading.Event()

        def request():
            with queue.admit() as ticket, ticket.worker():
                both_run.wait(60)
                finish.wait(60)

        threads = [threading.Thread(target=request) for _ in range(2)]
        for thread in threads:
            thread.start()
        both_run.wait(60)
        self.assertEqual((queue.working, queue.waiting), (2, 0))
        with queue.admit():
            self.assertEqual(queue.waiting, 1)
        finish.set()
        for thread in threads:
            thread.join()
        self.assertEqual((queue.working, queue.waiting), (0, 0))

    def test_a_request_that_waits_too_long_is_refused(self):
        queue = WorkQueue(workers=1, max_waiting=1, timeout=0.01)
        with (
            queue.admit() as first,
            first.worker(),
            queue.admit() as second,
            self.assertRaisesRegex(BusyError, "0.01 seconds"),
            second.worker(),
        ):
            self.fail("two requests got the only worker")
        self.assertEqual((queue.working, queue.waiting), (0, 0))

    def test_an_exception_frees_the_worker_and_the_place(self):
        queue = WorkQueue(workers=1, max_waiting=0, timeout=60)
        for _ in range(2):
            with self.assertRaises(ZeroDivisionError), queue.admit() as ticket, ticket.worker():
                _ = 1 / 0


if __name__ == "__main__":
    absltest.main()

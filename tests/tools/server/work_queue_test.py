"""The queue limits running and waiting requests and refuses the others."""

import threading
import time
from unittest import mock

from absl.testing import absltest

from tools.server.work_queue import BusyError, WorkQueue


class WorkQueueTest(absltest.TestCase):
    def test_a_full_queue_refuses_requests_until_one_leaves(self):
        queue = WorkQueue(workers=1, max_waiting=1, timeout=60)
        with queue.admit("a"):
            second = queue.admit("b")
            second.__enter__()
            with self.assertRaisesRegex(BusyError, "2 requests are"), queue.admit("c"):
                self.fail("the queue admitted three requests")
            second.__exit__(None, None, None)
            with queue.admit("c"):
                pass

    def test_one_client_gets_half_of_the_places(self):
        queue = WorkQueue(workers=2, max_waiting=2, timeout=60)
        with queue.admit("a"), queue.admit("a"):
            with self.assertRaisesRegex(BusyError, "2 requests of this client"), queue.admit("a"):
                self.fail("one client got more than half of the places")
            with queue.admit("b"), queue.admit("b"):
                pass

    def test_one_client_does_not_get_the_last_worker(self):
        queue = WorkQueue(workers=2, max_waiting=10, timeout=0.01)
        with queue.admit("a") as first, first.worker():
            with (
                self.assertRaises(BusyError),
                queue.admit("a") as second,
                second.worker(),
            ):
                self.fail("one client got all workers")
            with queue.admit("b") as other, other.worker():
                self.assertEqual(queue.working, 2)

    def test_clients_get_workers_in_turns(self):
        queue = WorkQueue(workers=1, max_waiting=20, timeout=60)
        order = []

        def request(client: str):
            with queue.admit(client) as ticket, ticket.worker():
                order.append(client)

        threads = []
        add = self.enter_context(mock.patch.object(queue._waiting, "add", wraps=queue._waiting.add))
        with queue.admit("z") as ticket, ticket.worker():
            for client in "aaaab":
                threads.append(threading.Thread(target=request, args=client))
                waiting = add.call_count
                threads[-1].start()
                while add.call_count == waiting:
                    time.sleep(0.001)
        for thread in threads:
            thread.join()
        self.assertEqual("".join(order), "abaaa")

    def test_a_worker_that_does_not_finish_an_image_is_stuck(self):
        queue = WorkQueue(workers=2, max_waiting=1, timeout=60, job_seconds=0.01)
        with queue.admit("a") as ticket:
            time.sleep(0.02)
            self.assertFalse(queue.is_stuck)
            with ticket.worker():
                time.sleep(0.02)
                self.assertTrue(queue.is_stuck)
        self.assertFalse(queue.is_stuck)

    def test_no_more_requests_run_than_there_are_workers(self):
        queue = WorkQueue(workers=2, max_waiting=10, timeout=60)
        both_run, finish = threading.Barrier(3), threading.Event()

        def request():
            with queue.admit(threading.current_thread().name) as ticket, ticket.worker():
                both_run.wait(60)
                finish.wait(60)

        threads = [threading.Thread(target=request) for _ in range(2)]
        for thread in threads:
            thread.start()
        both_run.wait(60)
        self.assertEqual((queue.working, queue.waiting), (2, 0))
        with queue.admit("a"):
            self.assertEqual(queue.waiting, 1)
        finish.set()
        for thread in threads:
            thread.join()
        self.assertEqual((queue.working, queue.waiting), (0, 0))

    def test_a_request_that_waits_too_long_is_refused(self):
        queue = WorkQueue(workers=1, max_waiting=1, timeout=0.01)
        with (
            queue.admit("a") as first,
            first.worker(),
            queue.admit("b") as second,
            self.assertRaisesRegex(BusyError, "0.01 seconds"),
            second.worker(),
        ):
            self.fail("two requests got the only worker")
        self.assertEqual((queue.working, queue.waiting), (0, 0))

    def test_an_exception_frees_the_worker_and_the_place(self):
        queue = WorkQueue(workers=1, max_waiting=0, timeout=60)
        for _ in range(2):
            with self.assertRaises(ZeroDivisionError), queue.admit("a") as ticket, ticket.worker():
                _ = 1 / 0


if __name__ == "__main__":
    absltest.main()

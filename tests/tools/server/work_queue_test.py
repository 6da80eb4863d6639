"""So many work, so many wait, and the others are sent away."""

import threading

from absl.testing import absltest

from tools.server.work_queue import BusyError, WorkQueue


class WorkQueueTest(absltest.TestCase):
    def test_who_finds_all_places_taken_is_sent_away_and_the_place_is_free_again(self):
        queue = WorkQueue(workers=1, length=1, seconds=60)
        with queue.place():
            second = queue.place()
            second.__enter__()
            with self.assertRaisesRegex(BusyError, "2 requests"), queue.place():
                self.fail("there were only two places")
            second.__exit__(None, None, None)
            with queue.place():
                pass

    def test_no_more_work_than_there_are_workers(self):
        queue = WorkQueue(workers=2, length=10, seconds=60)
        both_work, go_on = threading.Barrier(3), threading.Event()

        def request():
            with queue.place() as place, place.turn():
                both_work.wait(60)
                go_on.wait(60)

        threads = [threading.Thread(target=request) for _ in range(2)]
        for thread in threads:
            thread.start()
        both_work.wait(60)
        self.assertEqual((queue.working, queue.waiting), (2, 0))
        with queue.place():
            self.assertEqual(queue.waiting, 1)
        go_on.set()
        for thread in threads:
            thread.join()
        self.assertEqual((queue.working, queue.waiting), (0, 0))

    def test_who_waited_too_long_is_sent_away(self):
        queue = WorkQueue(workers=1, length=1, seconds=0.01)
        with (
            queue.place() as first,
            first.turn(),
            queue.place() as second,
            self.assertRaisesRegex(BusyError, "0.01 seconds"),
            second.turn(),
        ):
            self.fail("there was only one worker")
        self.assertEqual((queue.working, queue.waiting), (0, 0))

    def test_a_failure_frees_worker_and_place(self):
        queue = WorkQueue(workers=1, length=0, seconds=60)
        for _ in range(2):
            with self.assertRaises(ZeroDivisionError), queue.place() as place, place.turn():
                _ = 1 / 0


if __name__ == "__main__":
    absltest.main()

"""Functions of many clients run in a few threads, in turns."""

import asyncio
import threading

from absl.testing import absltest

from tools.server.fair_threads import FairThreads


class FairThreadsTest(absltest.TestCase):
    def test_clients_take_turns(self):
        order: list[str] = []

        async def run_all():
            threads, start = FairThreads(1), threading.Event()
            first = asyncio.ensure_future(threads.run("z", start.wait))
            others = [
                asyncio.ensure_future(
                    threads.run(client, lambda client=client: order.append(client))
                )
                for client in "aaaabb"
            ]
            await asyncio.sleep(0)
            start.set()
            await asyncio.gather(first, *others)
            threads.shut_down()

        asyncio.run(run_all())
        self.assertEqual("".join(order), "ababaa")

    def test_an_exception_frees_the_thread(self):
        async def run_two():
            threads = FairThreads(1)
            with self.assertRaises(ZeroDivisionError):
                await threads.run("a", lambda: 1 // 0)
            self.assertEqual(await threads.run("a", lambda: 3), 3)
            threads.shut_down()

        asyncio.run(run_two())

    def test_a_cancelled_request_gives_up_its_turn(self):
        async def run_three():
            threads, start = FairThreads(1), threading.Event()
            first = asyncio.ensure_future(threads.run("a", start.wait))
            second = asyncio.ensure_future(threads.run("a", lambda: 2))
            third = asyncio.ensure_future(threads.run("a", lambda: 3))
            await asyncio.sleep(0)
            second.cancel()
            start.set()
            self.assertEqual(await third, 3)
            self.assertTrue(await first)
            threads.shut_down()

        asyncio.run(run_three())


if __name__ == "__main__":
    absltest.main()

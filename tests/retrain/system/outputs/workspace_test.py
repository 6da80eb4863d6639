"""Workspaces are new, hidden folders."""

import threading
from pathlib import Path

from absl.testing import absltest

from retrain.system.outputs.leftovers import remove_leftovers
from retrain.system.outputs.workspace import Workspace


class WorkspaceTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)

    def count(self) -> int:
        return len(list(self.folder.iterdir()))

    def test_paths_are_unused_hidden_and_writable(self):
        space = Workspace(self.folder)
        self.addCleanup(space.remove)
        first, second = space.new_path("name"), space.new_path("name")
        self.assertNotEqual(first, second)
        for path in (first, second):
            path.touch()
            self.assertStartsWith(path.relative_to(self.folder).parts[0], ".")

    def test_nothing_is_left_of_a_removed_workspace(self):
        space = Workspace(self.folder)
        space.new_path("name").mkdir()
        space.remove()
        self.assertEqual(self.count(), 0)

    def test_many_at_a_time_do_not_disturb_each_other(self):
        problems = []

        def work() -> None:
            try:
                for _ in range(20):
                    remove_leftovers(self.folder)
                    space = Workspace(self.folder)
                    path = space.new_path("name")
                    path.touch()
                    path.rename(space.new_path("other"))
                    space.remove()
            except Exception as error:
                problems.append(error)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(problems, [])
        self.assertEqual(self.count(), 0)


if __name__ == "__main__":
    absltest.main()

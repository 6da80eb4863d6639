"""One image is never taken away where nothing else holds all of it."""

import shutil
import tempfile
from pathlib import Path

from absl.testing import absltest

from tools.guess import placing
from tools.guess.placing import COPY, MOVE, NotFiledError, Placing


class PlacingTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.source, self.target = self.folder / "source.jpg", self.folder / "target.jpg"
        self.source.write_bytes(b"picture")

    def test_one_that_leads_to_its_target_is_not_put(self):
        self.target.symlink_to(self.source)
        with self.assertRaisesRegex(NotFiledError, "there is another file at"):
            placing.put(Placing(self.source, self.target), MOVE)

    def test_one_that_was_written_meanwhile_stays(self):
        both = Placing(self.source, self.target)
        state = placing.put(both, COPY)
        self.source.write_bytes(b"new one")
        with self.assertRaisesRegex(NotFiledError, "it was changed while it was copied"):
            placing.take_away(both, state)
        self.assertEqual(self.source.read_bytes(), b"new one")
        self.assertEqual(self.target.read_bytes(), b"picture")

    def test_leftovers_are_only_what_has_no_image(self):
        both = Placing(self.source, self.target)
        for content, stays in ((b"", False), (b"x", True)):
            self.target.write_bytes(content)
            placing.discard_leftovers(both)
            self.assertEqual(self.target.exists(), stays)

    def test_when_one_file_can_stand_for_another(self):
        copy, link = self.folder / "copy", self.folder / "link"
        shutil.copyfile(self.source, copy)
        link.symlink_to(self.source)
        self.assertTrue(placing.can_replace(copy, self.source))
        self.assertTrue(placing.can_replace(self.source, link))
        self.assertFalse(placing.can_replace(link, self.source))
        self.assertFalse(placing.can_replace(self.source, self.source))
        copy.write_bytes(b"pictures")
        self.assertFalse(placing.can_replace(copy, self.source))
        self.assertFalse(placing.can_replace(self.folder / "none", self.source))


if __name__ == "__main__":
    absltest.main()

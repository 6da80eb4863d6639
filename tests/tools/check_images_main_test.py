"""check_images finds planted problems, moves what the user agrees to, and restores it."""

import json
import os
import re
import shutil
import tempfile
from pathlib import Path

from absl.testing import absltest
from PIL import Image, ImageFilter

from tests.support import natural_images, programs


def _draw(folder: Path) -> None:
    """Draws two classes with a problem of most kinds."""
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
    images = [natural_images.draw(seed, width=260, height=240) for seed in range(24)]
    for number, image in enumerate(images):
        image.save(folder / ("cat", "dog")[number % 2] / f"{number:02}.png")
    shutil.copy(folder / "cat" / "00.png", folder / "dog" / "same.png")
    images[3].resize((150, 140)).save(folder / "cat" / "mirror.jpg", quality=60)
    shutil.copy(folder / "dog" / "05.png", folder / "dog" / "wrong.jpg")
    Image.new("RGB", (260, 240), "grey").save(folder / "cat" / "blank.png")
    images[7].point(lambda value: value // 12).save(folder / "cat" / "dark.png")
    images[9].filter(ImageFilter.GaussianBlur(12)).save(folder / "cat" / "blurred.png")
    natural_images.draw(90, width=900, height=240).save(folder / "dog" / "wide.png")
    natural_images.draw(91, width=24, height=24).save(folder / "dog" / "tiny.png")
    frames = [natural_images.draw(seed) for seed in (92, 93)]
    frames[0].save(folder / "dog" / "moving.gif", save_all=True, append_images=frames[1:])
    data = (folder / "dog" / "01.png").read_bytes()
    (folder / "dog" / "half.png").write_bytes(data[: len(data) // 2])
    (folder / "dog" / "text.jpg").write_text("no image")


class CheckImagesMainTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.images = self.folder / "images"
        _draw(self.images)

    def run_program(self, *arguments: object):
        state = {"XDG_STATE_HOME": str(self.folder / "state")}
        return programs.run(
            "check_images",
            f"--image_dir={self.images}",
            f"--bottleneck_dir={self.folder}/cache",
            *arguments,
            env=programs.environment(**state),
        )

    def listing(self) -> dict[str, bytes]:
        files = (path for path in self.images.rglob("*") if path.is_file())
        return {str(path.relative_to(self.images)): path.read_bytes() for path in files}

    def test_finds_moves_and_restores(self):
        before = self.listing()
        done = self.run_program(f"--json={self.folder}/a.json", f"--html={self.folder}/a.html")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.listing(), before)
        found: dict[str, set[str]] = {}
        for finding in json.loads((self.folder / "a.json").read_text())["findings"]:
            paths = (image["path"] for image in finding.get("images", []))
            found.setdefault(finding["kind"], set()).update(paths)
        self.assertEqual(found["duplicate_across_classes"], {"cat/00.png", "dog/same.png"})
        self.assertIn("cat/mirror.jpg", found["near_duplicate_across_classes"])
        self.assertIn("dog/03.png", found["near_duplicate_across_classes"])
        self.assertEqual(found["wrong_extension"], {"dog/wrong.jpg"})
        self.assertEqual(
            found["unreadable"] | found.get("truncated", set()), {"dog/half.png", "dog/text.jpg"}
        )
        for kind, path in {
            "blank": "cat/blank.png",
            "dark": "cat/dark.png",
            "blurred": "cat/blurred.png",
            "odd_aspect": "dog/wide.png",
            "tiny": "dog/tiny.png",
            "animated": "dog/moving.gif",
        }.items():
            self.assertEqual(found[kind], {path}, kind)
        self.assertIn("Blank images", done.stdout)

        # The second check reads the cache only.
        done = self.run_program("--fix=blank,tiny,truncated,unreadable", "--nocompute_features")
        self.assertEqual(done.returncode, 0, done.stderr)
        gone = before.keys() - self.listing().keys()
        expected = {"cat/blank.png", "dog/tiny.png", "dog/half.png", "dog/text.jpg"}
        self.assertEqual(gone, expected)
        (undo,) = re.findall(r"--undo=(\S+)", done.stderr)
        self.assertTrue(undo.startswith(f"{self.images}-quarantine{os.sep}"))
        done = self.run_program(f"--undo={undo}")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.listing(), before)

    def test_mistakes_are_one_line_and_change_nothing(self):
        before = self.listing()
        other_page = self.folder / "home.html"
        other_page.write_text("<!DOCTYPE html><title>My home page</title>")
        for arguments, message in (
            (["--fix=everything"], "--fix=everything has an unknown kind"),
            (["--fix=blank", f"--quarantine_dir={self.images}/x"], "is in --image_dir"),
            (["--quarantine_dir=x"], "--quarantine_dir=x needs --fix"),
            ([f"--html={self.images}"], "is a folder"),
            ([f"--html={other_page}"], "home.html is a file that retrain did not write"),
            ([f"--csv={self.images}/cat/00.png"], "00.png is an image and is not replaced"),
            (["--json=x", "--csv=./x"], "--json and --csv are both"),
            (["--undo="], "--undo= has no value"),
            (["cat"], "unexpected argument cat"),
            ([f"--undo={self.images}/cat/00.png"], "--undo="),
            (["--image_dir=/nowhere"], "cannot be read"),
            (["--strict"], "half.png cannot be read"),
        ):
            done = self.run_program(*arguments)
            self.assertEqual(done.returncode, 1, arguments)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
            self.assertIn(message, done.stderr)
        self.assertEqual(self.listing(), before)


if __name__ == "__main__":
    absltest.main()

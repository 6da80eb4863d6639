"""Labels are drawn with fonts that have their letters, or are numbered."""

import sys
from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized

from retrain.report import image_grid, label_fonts, plots

# Letters of matplotlib's font STIXGeneral that its font DejaVu does not have.
_STIX = "\u1d81\u1d84"


def _system_fonts(*names: str | Path):
    """Returns a patch that makes fonts of matplotlib, or files, the fonts of the computer."""
    folder = label_fonts.dejavu().parent
    paths = [str(folder / name) for name in names]
    return absltest.mock.patch("matplotlib.font_manager.findSystemFonts", lambda: paths)


class PlotLabelsTest(parameterized.TestCase):
    def labels(self, *labels: str, fonts: tuple[str | Path, ...] = ()):
        with _system_fonts(*fonts):
            return label_fonts.PlotLabels(labels)

    def fonts(self, labels, text):
        return [run.font.name for run in labels.runs(text)]

    def test_labels_in_letters_of_dejavu_need_no_other_font(self):
        words = ("cat", "Кошка", "γάτα", "قطة", "חתול", "😀", "❤\ufe0f", "a b")
        with absltest.mock.patch.dict(sys.modules, {"matplotlib": None}), self.assertNoLogs():
            labels = label_fonts.PlotLabels(words)
        for word in words:
            self.assertEqual(labels.shown(word), word)
            self.assertEqual(self.fonts(labels, word), ["DejaVuSans.ttf"])
        self.assertEqual(labels.legend(words, width=80), [])

    def test_a_font_of_the_computer_that_has_the_letters_is_used(self):
        # matplotlib itself warns if it cannot write its settings, as in a sandbox.
        import matplotlib.font_manager  # noqa: F401

        with self.assertNoLogs():
            labels = self.labels("cat", f"{_STIX} x", fonts=("cmr10.ttf", "STIXGeneral.ttf"))
        self.assertEqual(self.fonts(labels, "cat"), ["DejaVuSans.ttf"])
        self.assertEqual(self.fonts(labels, f"{_STIX} x"), ["STIXGeneral.ttf"])

    def test_a_label_can_need_several_fonts(self):
        # Only DejaVu has this emoji.
        labels = self.labels(f"😀{_STIX}", fonts=("STIXGeneral.ttf",))
        runs = labels.runs(f"😀{_STIX}")
        self.assertEqual([run.text for run in runs], ["😀", _STIX])
        self.assertEqual([run.font.name for run in runs], ["DejaVuSans.ttf", "STIXGeneral.ttf"])

    def test_the_regular_style_of_a_font_is_preferred(self):
        fonts = ("STIXGeneralBol.ttf", "STIXGeneralItalic.ttf", "STIXGeneral.ttf")
        labels = self.labels("\u1d81", fonts=fonts)
        self.assertEqual(self.fonts(labels, "\u1d81"), ["STIXGeneral.ttf"])

    @parameterized.parameters("猫", "ねこ", "고양이", "बिल्ली", "แมว", "🍎", "ជាម", "\u1d81")
    def test_labels_whose_letters_are_in_no_font_are_numbered(self, label):
        with self.assertLogs(level="WARNING") as logged:
            labels = self.labels("cat", label, f"{label} 2", fonts=("cmr10.ttf",))
        (line,) = logged.output
        self.assertIn(f"2: {label}, 3: {label} 2", line)
        self.assertEqual([labels.shown(each) for each in ("cat", label)], ["cat", "2"])
        first, second = labels.legend((label, f"{label} 2", "cat"), width=10)
        self.assertRegex(first, r"^2: [ -~]+( …)?$")
        self.assertRegex(second, r"^3: [ -~]+( 2| …)$")

    def test_a_number_is_never_the_label_of_another_class(self):
        labels = self.labels("2", "猫")
        self.assertEqual([labels.shown(each) for each in ("2", "猫")], ["2", "#2"])

    def test_files_that_are_not_fonts_are_left_out(self):
        file = self.create_tempfile("font.ttf", "no font").full_path
        labels = self.labels("\u1d81", fonts=(file, "/no/such.ttf", "STIXGeneral.ttf"))
        self.assertEqual(self.fonts(labels, "\u1d81"), ["STIXGeneral.ttf"])

    def test_fonts_of_placeholders_are_left_out(self):
        folder = Path(self.create_tempdir().full_path)
        copy = folder / "LastResort.ttf"
        copy.write_bytes(label_fonts.dejavu().with_name("STIXGeneral.ttf").read_bytes())
        self.assertEqual(self.labels("\u1d81", fonts=(copy,)).shown("\u1d81"), "1")

    def test_long_legends_have_several_lines(self):
        names = [chr(0x4E00 + number) for number in range(20)]
        legend = self.labels(*names).legend(names, width=40)
        self.assertBetween(len(legend), 3, 12)
        self.assertLessEqual(max(map(len, legend)), 40)


class PlotsTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        label_fonts.plot_labels.cache_clear()
        self.addCleanup(label_fonts.plot_labels.cache_clear)

    def draw(self, labels):
        images = np.zeros((len(labels), 112, 112, 3), np.uint8)
        return (
            image_grid.draw_grid(images, labels),
            plots.draw_confusion_matrix(np.eye(len(labels), dtype=int), labels),
        )

    def test_different_labels_never_look_the_same(self):
        for fonts in ((), ("STIXGeneral.ttf",)):
            pairs = [("猫", "犬"), tuple(_STIX), ("แมว", "หมา"), ("🍎", "🍐")]
            with _system_fonts(*fonts), self.assertNoLogs("matplotlib", level="WARNING"):
                drawn = [self.draw(pair) for pair in pairs]
            self.assertLen({grid for grid, _ in drawn}, len(pairs))
            self.assertLen({matrix for _, matrix in drawn}, len(pairs))

    def test_numbers_are_those_of_all_classes(self):
        image = np.zeros((1, 112, 112, 3), np.uint8)
        with _system_fonts():
            grids = [
                image_grid.draw_grid(image, ["犬"], all_labels=labels)
                for labels in (("犬", "猫"), ("猫", "犬"))
            ]
        self.assertNotEqual(*grids)


if __name__ == "__main__":
    absltest.main()

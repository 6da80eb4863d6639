"""How many images went where, as a table."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from retrain.system.text import one_line
from tools.guess.results_file import Result

_HEADINGS = ("category", "pictures", "mean score")


class Summary:
    """Counts results.

    Attributes:
        filed: how many images are where they should be.
        left: how many are where they were.
    """

    def __init__(self) -> None:
        self.filed = 0
        self.left = 0
        self._images: Counter[str] = Counter()
        self._scores: defaultdict[str, float] = defaultdict(float)

    def counting(self, results: Iterable[Result]) -> Iterator[Result]:
        """Yields the results, counted."""
        for result in results:
            if result.filed is None or result.label is None or result.score is None:
                self.left += 1
            else:
                self.filed += 1
                self._images[result.label] += 1
                self._scores[result.label] += result.score
            yield result

    def table(self) -> str:
        """Returns a line for each class that got images, the largest first."""
        rows = [
            (one_line(label), f"{count:,}", f"{self._scores[label] / count:.3f}")
            for label, count in self._images.most_common()
        ]
        rows = [_HEADINGS, *rows, ("in all", f"{self.filed:,}", "")]
        widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
        return "\n".join(
            f"{name:{widths[0]}}  {count:>{widths[1]}}  {score:>{widths[2]}}".rstrip()
            for name, count, score in rows
        )

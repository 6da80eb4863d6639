"""Counts the images of a run and formats them as a table."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from retrain.system.text import one_line
from tools.transfers.plan import Plan

_HEADINGS = ("class", "images", "mean score")
_UNKNOWN = "none of these"


class Summary:
    """Numbers of images.

    Attributes:
        num_sorted: Number of images that were sorted.
        num_unknown: Number of the sorted images that show none of the classes.
        num_failed: Number of images that were not sorted.
    """

    def __init__(self) -> None:
        self.num_sorted = 0
        self.num_unknown = 0
        self.num_failed = 0
        self._counts: Counter[str] = Counter()
        self._score_sums: defaultdict[str, float] = defaultdict(float)

    def counting(self, plans: Iterable[Plan]) -> Iterator[Plan]:
        """Yields executed plans and counts their images."""
        for plan in plans:
            if plan.target is None or plan.label is None or plan.score is None:
                self.num_failed += 1
            else:
                self.num_sorted += 1
                if plan.is_unknown:
                    self.num_unknown += 1
                else:
                    self._counts[plan.label] += 1
                    self._score_sums[plan.label] += plan.score
            yield plan

    def table(self) -> str:
        """Returns a table with a row for each class that has images, most images first.

        A row for images of none of the classes follows if there are any.
        """
        rows = [
            (one_line(label), f"{count:,}", f"{self._score_sums[label] / count:.3f}")
            for label, count in self._counts.most_common()
        ]
        if self.num_unknown:
            rows.append((_UNKNOWN, f"{self.num_unknown:,}", ""))
        rows = [_HEADINGS, *rows, ("total", f"{self.num_sorted:,}", "")]
        widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
        return "\n".join(
            f"{name:{widths[0]}}  {count:>{widths[1]}}  {score:>{widths[2]}}".rstrip()
            for name, count, score in rows
        )

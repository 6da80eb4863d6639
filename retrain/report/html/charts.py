"""Draws charts as SVG whose colours are those of the page, also in dark mode."""

import io
import re
from collections.abc import Callable
from typing import Any

from markupsafe import Markup

# Colours that matplotlib draws with, and the CSS variables of the page that replace them.
TEXT, MUTED, LINE, BACK = "#010101", "#020202", "#030303", "#040404"
ACCENT, GOOD, BAD = "#050505", "#060606", "#070707"
_VARIABLES = {
    TEXT: "text",
    MUTED: "muted",
    LINE: "line",
    BACK: "back",
    ACCENT: "accent",
    GOOD: "good",
    BAD: "bad",
}
_STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": TEXT,
    "text.parse_math": False,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": TEXT,
    "ytick.labelcolor": TEXT,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "legend.frameon": False,
}
# In inches; the page scales it to the width of the window.
_SIZE = 5.2, 3.3
# Names of parts of a chart, which are the same in every chart. References are to other identifiers.
_ID = re.compile(r' id="[a-zA-Z0-9.]+_\d+"')


def draw(name: str, description: str, plot: Callable[[Any], None]) -> Markup:
    """Returns a chart as an SVG element.

    Args:
        name: Name that makes the identifiers in the element unique on its page.
        description: What the chart shows, for people who do not see it.
        plot: Draws on matplotlib's axes, with the colours of this module.
    """
    # Without pyplot, which looks for a screen and keeps every figure in memory.
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    settings: Any = _STYLE | {"svg.hashsalt": name}
    # The hash salt makes equal charts equal files.
    with rc_context(rc=settings):
        figure = Figure(figsize=_SIZE, layout="constrained")
        plot(figure.subplots())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var(--{variable})")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = _ID.sub("", svg)
    view_box = re.search(r'viewBox="[^"]*"', svg)
    assert view_box
    head = Markup('<svg class="chart" role="img" {} aria-label="{}">').format(
        Markup(view_box.group()), description
    )
    return head + Markup(svg[svg.index(">") + 1 :])

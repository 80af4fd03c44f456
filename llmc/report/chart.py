"""Charts for HTML reports: a matplotlib figure as inline SVG that follows the page's colours, in light, dark and print.

matplotlib knows no CSS, so a figure is drawn in agreed colours (:data:`INK`, :data:`SERIES`, ...) that :func:`svg` exchanges
for the page's variables. Words stay words: they can be found, copied and read aloud. The same figure gives the same bytes.

    figure, axes = chart.figure(7, 3)
    axes.plot(days, usd, color=chart.SERIES[0])
    chart.svg(figure, "Spend per day", "Rises from $0.10 to $0.42; the table below has the numbers.")
"""

import io
import os
import re
import warnings
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from llmc import state
from llmc.report.html import slug, visible

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, GRID, PANEL, OK, WARN, BAD = (f"#0000{n:02x}" for n in range(1, 8))
"""Text, secondary text, grid lines, the page's ground, and the three states: drawn so, shown as the page's own."""
SERIES = tuple(f"#0000{n:02x}" for n in range(16, 22))
"""Six colours that differ in print and for colour-blind readers too; add a marker or a label all the same."""
_VARIABLES = {
    INK: "currentColor", MUTED: "var(--muted)", GRID: "var(--line)", PANEL: "var(--ground)", OK: "var(--ok)",
    WARN: "var(--warn)", BAD: "var(--bad)", **{colour: f"var(--series-{n})" for n, colour in enumerate(SERIES, 1)},
    "#000000": "currentColor", "#ffffff": "var(--ground)", "#cccccc": "var(--line)",  # matplotlib's own, of a legend for one
}  # fmt: skip
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "text.parse_math": False, "axes.unicode_minus": True, "font.size": 11,
    "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none", "legend.facecolor": PANEL,
    "legend.edgecolor": GRID, "legend.framealpha": 0.9, "text.color": INK, "axes.labelcolor": INK, "axes.titlecolor": INK,
    "axes.edgecolor": MUTED, "xtick.color": MUTED, "ytick.color": MUTED, "xtick.labelcolor": INK, "ytick.labelcolor": INK,
    "grid.color": GRID, "axes.grid": True, "axes.axisbelow": True, "axes.spines.top": False, "axes.spines.right": False,
    "lines.linewidth": 2.0, "patch.edgecolor": PANEL, "hatch.color": INK, "figure.constrained_layout.use": True,
}  # fmt: skip
_SVG, _LINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_COLOUR = re.compile(r"#[0-9a-f]{6}")
_FONT = re.compile(r"font-family: [^;]+")


def figure(width_inches: float, height_inches: float) -> "tuple[Figure, Axes]":
    """An empty figure with one pair of axes, in the colours that :func:`svg` exchanges."""
    with _style():
        from matplotlib.figure import Figure

        made = Figure(figsize=(width_inches, height_inches))
        made.subplots().set_prop_cycle(color=SERIES)
        return made, made.axes[0]


def svg(figure: "Figure", title: str, description: str) -> "Markup":
    """The figure as inline SVG with a role, a title and a description; ids are its own, so many fit on one page."""
    from markupsafe import Markup

    name = slug(title, description)
    written = io.StringIO()
    with _style({"svg.hashsalt": name}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the reader's browser has other fonts
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None, "Type": None, "Format": None})
    root = ElementTree.fromstring(visible(written.getvalue()))  # a label may hold what XML cannot
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"):  # its * would style the whole page
                parent.remove(child)
    for element in root.iter():
        for key in ("fill", "stroke"):  # of a hatch; CSS variables belong into a style
            if element.get(key) in _VARIABLES:
                element.set("style", f"{key}: {element.attrib.pop(key)}; {element.get('style', '')}")
        for key, value in element.attrib.items():
            element.set(key, _own(key, value, name))
    for key in ("width", "height", "version"):
        del root.attrib[key]
    root.attrib |= {"class": "chart", "role": "img", "aria-labelledby": f"{name}-title {name}-desc"}
    root.set("style", "stroke-linejoin: round; stroke-linecap: butt; fill: currentColor")
    for at, (tag, text) in enumerate((("title", title), ("desc", description))):
        label = ElementTree.Element(f"{{{_SVG}}}{tag}", {"id": f"{name}-{tag}"})
        label.text = visible(text)
        root.insert(at, label)
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _LINK)
    return Markup(ElementTree.tostring(root, encoding="unicode"))  # ElementTree escaped it


def _own(key: str, value: str, name: str) -> str:
    """An attribute with ids of this chart and colours of the page."""
    if key == "id":
        return f"{name}-{value}"
    if key == f"{{{_LINK}}}href":
        return value.replace("#", f"#{name}-", 1)
    value = value.replace("url(#", f"url(#{name}-")
    if key == "style":
        value = _FONT.sub("font-family: inherit", value)
        value = _COLOUR.sub(lambda match: _VARIABLES.get(match[0], match[0]), value)
    return value


def _style(more: dict[Any, Any] | None = None) -> Any:  # noqa: ANN401 - matplotlib has no types
    """matplotlib's settings for the time of a ``with``; it caches its list of fonts in our folder, not in the user's."""
    os.environ.setdefault("MPLCONFIGDIR", str(state.cache("matplotlib")))
    from matplotlib import rc_context

    return rc_context({**_STYLE, **(more or {})})

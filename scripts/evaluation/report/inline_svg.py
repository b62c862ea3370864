"""Figure -> SVG that stands in a page, takes its colours and fonts, and shares no id with another."""

import io
import re
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

INK = "#010203"  # becomes the page's colour of text, be it light or dark
SETTINGS: dict[Any, Any] = {"svg.fonttype": "none", "text.parse_math": False, "font.size": 9}


def inline_svg(figure: Figure, name: str) -> str:
    """name: of the figure, which no other of the page has. What is drawn in `INK` takes the colour of the page's text."""
    buffer = io.StringIO()
    with rc_context({**SETTINGS, "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\s(?:xmlns(?::\w+)?|width|height|version)="[^"]*"', "", svg[: svg.index(">")]) + svg[svg.index(">") :]
    referred = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg))
    svg = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in referred else "", svg)
    return svg.replace(INK, "currentColor").replace("font: ", "font-size: ").replace(" 'DejaVu Sans'", "")

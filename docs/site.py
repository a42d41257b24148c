"""What mkdocs cannot do by itself: equations become MathML, which browsers draw without a script."""

import re
from typing import Any

from latex2mathml.converter import convert

_FENCES = re.compile(r"(```.*?```|`[^`\n]*`)", re.DOTALL)
_MATHS = re.compile(r"\$\$(.+?)\$\$|(?<![\w$\\])\$([^$\n]+?)\$(?![\w$])", re.DOTALL)
_PLACE = re.compile(r"equationplace(\d+)end")


def on_page_markdown(markdown: str, page: Any, **_: object) -> str:
    """Take `$…$` and `$$…$$` outside code away: Markdown would find emphasis in it, and blocks in MathML."""
    page.equations = []

    def taken(match: re.Match[str]) -> str:
        page.equations.append(convert(match[1] or match[2], display="block" if match[1] else "inline"))
        return f"equationplace{len(page.equations) - 1}end"

    parts = _FENCES.split(markdown)
    return "".join(part if place % 2 else _MATHS.sub(taken, part) for place, part in enumerate(parts))


def on_page_content(html: str, page: Any, **_: object) -> str:
    """Put the equations back."""
    return _PLACE.sub(lambda match: page.equations[int(match[1])], html)

"""What mkdocs cannot do by itself: equations become MathML, which browsers draw without a script."""

import re

from latex2mathml.converter import convert

_FENCES = re.compile(r"(```.*?```|`[^`\n]*`)", re.DOTALL)
_MATHS = re.compile(r"\$\$(.+?)\$\$|(?<![\w$\\])\$([^$\n]+?)\$(?![\w$])", re.DOTALL)


def on_page_markdown(markdown: str, **_: object) -> str:
    """Convert `$…$` and `$$…$$` outside code."""
    parts = _FENCES.split(markdown)
    return "".join(part if place % 2 else _MATHS.sub(_mathml, part) for place, part in enumerate(parts))


def _mathml(match: re.Match[str]) -> str:
    return convert(match[1] or match[2], display="block" if match[1] else "inline")

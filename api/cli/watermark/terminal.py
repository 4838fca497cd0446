"""One result on a terminal: short verdict, figures, and the text with coloured tokens. rich is imported with this module."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from api.cli.options import shown
from watermark.examination import Examination
from watermark.rendering import legend, segments, summary, token_pieces

MAX_TOKENS = 1500
_STYLES = {
    "green": "black on green",
    "red": "black on red",
    "repeat": "dim",
    "level-1": "black on color(229)",
    "level-2": "black on color(222)",
    "level-3": "black on color(208)",
}
_VERDICTS = {"watermarked": "bold red", "not_detected": "bold green", "inconclusive": "bold yellow"}


def print_examination(found: Examination, console: Console | None = None) -> None:
    """Print to stdout, or to the given console."""
    console = console or Console(highlight=False)
    first, *rest = summary(found)
    console.print(Text(shown(first), style=_VERDICTS[found.detection.decision]), soft_wrap=True)
    for line in rest:
        console.print(Text(shown(line)), soft_wrap=True)
    pieces = token_pieces(found)
    text = Text()
    for segment in segments(found, pieces[:MAX_TOKENS]):
        style = _STYLES.get(segment.kind, "")
        text.append(shown(segment.text), style=f"{style} underline".strip() if segment.in_span else style)
    console.print()
    console.print(text)
    console.print()
    if len(pieces) > MAX_TOKENS:
        console.print(Text(f"the first {MAX_TOKENS} tokens; --html shows more", style="dim"))
    console.print(Text(legend(found.detection), style="dim"), soft_wrap=True)

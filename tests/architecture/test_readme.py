"""README.md lists the commands as the program has them; run this file to rewrite the block."""

from __future__ import annotations

import sys
from pathlib import Path

from api.cli.table import COMMANDS

README = Path(__file__).resolve().parents[2] / "README.md"
START = "<!-- commands: kept in step with the program by tests/architecture/test_readme.py -->\n"
END = "<!-- /commands -->"


def render_commands() -> str:
    """The command table of the README, from the program's own."""
    rows = [f"| `assay {name}` | {entry.help} |" for name, entry in COMMANDS.items()]
    return "\n".join(["| command | |", "|---|---|", *rows]) + "\n"


def _split(text: str) -> tuple[str, str, str]:
    before, rest = text.split(START)
    block, after = rest.split(END)
    return before, block, after


def test_readme_lists_the_commands_of_the_program() -> None:
    _, block, _ = _split(README.read_text())
    assert block == render_commands(), f"run: {Path(sys.executable).name} tests/architecture/test_readme.py"


def test_readme_commands_exist() -> None:
    """Every `assay ...` line in a code block of the README names a command of the program."""
    words = [line.split()[1] for line in README.read_text().splitlines() if line.startswith("assay ")]
    assert words and set(words) <= set(COMMANDS)


if __name__ == "__main__":
    head, _, tail = _split(README.read_text())
    README.write_text(head + START + render_commands() + END + tail)

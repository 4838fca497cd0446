"""The guide and the README name commands and options of `assay privacy` that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from api.cli.privacy.group import privacy

ROOT = Path(__file__).resolve().parents[3]
COMMANDS = re.compile(r"assay privacy [^`#\n]*")


def commands(path: Path) -> list[list[str]]:
    """The words after `assay privacy`, placeholders in brackets left out."""
    found = [re.sub(r"\[[^\]]*\]|\.\.\.", "", line) for line in COMMANDS.findall(path.read_text())]
    return [shlex.split(line.split(" && ")[0])[2:] for line in found]


@pytest.mark.parametrize("name", ["docs/privacy.md", "README.md"])
def test_commands_of_the_guide_exist(name: str) -> None:
    given = commands(ROOT / name)
    assert len(given) >= 5
    for words in given:
        command: Any = typer.main.get_command(privacy)
        while words and hasattr(command, "commands"):
            assert words[0].split("|")[0] in command.commands, words
            command, words = command.commands[words[0].split("|")[0]], words[1:]
        options = {name for parameter in command.params for name in parameter.opts} | {"--help"}
        assert {word for word in words if re.match(r"--?[a-z]", word)} <= options, words


def test_every_command_is_in_the_guide() -> None:
    said = {words[0] for words in commands(ROOT / "docs/privacy.md") if words}
    everything: Any = typer.main.get_command(privacy)
    assert set(everything.commands) <= said

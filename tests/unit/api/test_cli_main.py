"""The root command: lazy loading, one-line errors, exit codes."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable

import pytest
import typer

from api.cli import main as cli
from api.cli.exits import CommandError, Exit, exit_for_verdict
from api.cli.options import read_api_key, table
from api.cli.table import COMMANDS, Entry
from api.errors import ServiceError
from audit.errors import NotFoundError, RequestError


def run(monkeypatch: pytest.MonkeyPatch, body: Callable[[], None], *arguments: str) -> int:
    """Run a one-command program whose body is `body`; its exit code."""
    module, command = types.ModuleType("made_up"), typer.Typer()
    command.command()(body)
    module.command = command  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "made_up", module)
    monkeypatch.setitem(COMMANDS, "made-up", Entry("made_up", "command", "made up", "panel"))
    with pytest.raises(SystemExit) as stop:
        cli.main(["made-up", *arguments])
    return int(stop.value.code or 0)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CommandError("no"), 1),
        (CommandError("no", Exit.USAGE), 2),
        (ServiceError("unauthenticated", 401, "no"), 4),
        (ServiceError("forbidden", 403, "no"), 4),
        (ServiceError("not-found", 404, "no"), 6),
        (ServiceError("conflict", 409, "no"), 1),
        (ServiceError("unreachable", 0, "no"), 1),
        (NotFoundError("no"), 6),
        (RequestError("no"), 1),
        (OSError(28, "No space left on device", "run/file"), 1),
        (typer.Exit(3), 3),
        (KeyboardInterrupt(), 130),
    ],
)
def test_errors_become_one_line_and_a_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: int
) -> None:
    def body() -> None:
        raise error

    assert run(monkeypatch, body) == code
    out, err = capsys.readouterr()
    assert out == "" and "Traceback" not in err and len(err.splitlines()) <= 1


def test_success_is_zero_and_wrong_usage_two(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, lambda: None) == 0
    assert run(monkeypatch, lambda: None, "--nonsense") == 2
    with pytest.raises(SystemExit) as stop:
        cli.main(["no-such-command"])
    assert stop.value.code == 2


def test_a_missing_group_names_its_install_command() -> None:
    sys.modules.pop("broken_command", None)
    entry = Entry("broken_command", "command", "", "")
    for package, group in (("numba", "prove"), ("torch", "models"), ("fastapi", "server"), ("psycopg", "server")):
        message = cli._explain_missing("x", entry, ModuleNotFoundError(name=f"{package}.sub"))
        assert f"assay-audit[{group}]" in message and package in message
    with pytest.raises(CommandError, match="not part of this build"):
        cli.load_command("x", entry)


def test_every_verdict_has_its_code() -> None:
    codes = {verdict: int(exit_for_verdict(verdict)) for verdict in ("holds", "refuted", "inconclusive", "other")}
    assert codes == {"holds": 0, "refuted": 3, "inconclusive": 5, "other": 1}


def test_api_keys_come_from_environment_or_file(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.delenv("ASSAY_API_KEY", raising=False)
    with pytest.raises(CommandError, match="ASSAY_API_KEY") as missing:
        read_api_key(None)
    assert missing.value.code == Exit.UNAUTHORISED
    assert read_api_key(None, needed=False) is None
    monkeypatch.setenv("ASSAY_API_KEY", " key \n")
    assert read_api_key(None) == "key"


def test_tables_align() -> None:
    rows = [{"a": 1, "b": None}, {"a": 22, "b": "x"}]
    assert table(rows, ("a", "b"), "none").splitlines() == ["a   b", "1   -", "22  x"]
    assert table([], ("a",), "none") == "none"

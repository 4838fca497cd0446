"""`assay`: the root command. Command modules are imported on use, by the table in `api.cli.table`."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from api.cli.exits import CommandError, Exit
from api.cli.options import shown
from api.cli.table import COMMANDS, Entry
from api.errors import ServiceError
from audit.errors import AuditError, NotFoundError

_EXIT_OF_STATUS = {401: Exit.UNAUTHORISED, 403: Exit.UNAUTHORISED, 404: Exit.NOT_FOUND}

_TRACEBACKS = "ASSAY_TRACEBACKS"

# Groups that a base installation may lack, and the module whose absence says so.
_GROUP_OF_MODULE = {
    "numba": "prove",
    "scipy": "prove",
    "sklearn": "prove",
    "pyarrow": "prove",
    "torch": "models",
    "safetensors": "models",
    "transformers": "models",
    "tokenizers": "models",
    "phonenumbers": "privacy",
    "stdnum": "privacy",
    "trl": "training",
    "datasets": "training",
    "fastapi": "server",
    "uvicorn": "server",
    "sqlalchemy": "server",
    "alembic": "server",
    "dbos": "server",
    "psycopg": "server",
}


class _Placeholder(TyperCommand):
    """Stands for a command in listings, so that help needs no import."""

    def __init__(self, name: str, entry: Entry) -> None:
        super().__init__(name, help=entry.help, short_help=entry.help, rich_help_panel=entry.panel)


def load_command(name: str, entry: Entry) -> Any:
    """Import the module of one command and give it in the form Typer runs.

    Raises CommandError when the module, or a package of an install group it needs, is absent.
    """
    try:
        module = importlib.import_module(entry.module)
    except ModuleNotFoundError as missing:
        raise CommandError(_explain_missing(name, entry, missing)) from missing
    command = typer.main.get_command(getattr(module, entry.attribute))
    command.name = name
    return command


def _explain_missing(name: str, entry: Entry, missing: ModuleNotFoundError) -> str:
    root = (missing.name or "").split(".")[0]
    group = _GROUP_OF_MODULE.get(root)
    if group is not None:
        return f"`assay {name}` needs the package {root}. Install it with: pip install 'assay-audit[{group}]'"
    if missing.name == entry.module:
        return f"`assay {name}` is not part of this build ({entry.module} is missing)."
    return f"`assay {name}` cannot start: the module {missing.name} is missing. Reinstall with: pip install assay-audit"


class LazyGroup(TyperGroup):
    """A group whose commands come from the table; only the one that runs is imported."""

    _resolving = False

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        return load_command(cmd_name, entry) if self._resolving else _Placeholder(cmd_name, entry)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Load the command that is about to run; listings never come this way."""
        self._resolving = True
        try:
            return super().resolve_command(ctx, args)
        finally:
            self._resolving = False


app = typer.Typer(
    cls=LazyGroup,
    name="assay",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    help="Third-party audits of AI models: proofs of training, audits over committed data, offline reports.",
)


def _print_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"assay {version('assay-audit')}")
        raise typer.Exit()


@app.callback()
def root(
    version: bool = typer.Option(False, "--version", help="Print the version and stop.", callback=_print_version, is_eager=True),
) -> None:
    """The root has no behaviour of its own."""


def main(argv: list[str] | None = None) -> None:
    """Run `assay` and exit with a code of `api.cli.exits`. Errors are one line on stderr, never a traceback."""
    try:
        app(sys.argv[1:] if argv is None else argv, prog_name="assay")
    except CommandError as error:
        _fail(error.message, error.code)
    except ServiceError as error:
        _fail(error.detail, _EXIT_OF_STATUS.get(error.status, Exit.OPERATIONAL))
    except NotFoundError as error:
        _fail(str(error), Exit.NOT_FOUND)
    except AuditError as error:
        _fail(str(error), Exit.OPERATIONAL)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _fail(f"{where}{error.strerror or error}", Exit.OPERATIONAL)
    except Exception as error:
        if os.environ.get(_TRACEBACKS):
            raise
        # Its text may quote what was given, secrets included; its kind does not.
        _fail(f"internal error ({type(error).__name__}); a defect of assay. {_TRACEBACKS}=1 shows where", Exit.OPERATIONAL)


def _fail(message: str, code: int) -> NoReturn:
    print(f"assay: {shown(message)}", file=sys.stderr)
    sys.exit(int(code))

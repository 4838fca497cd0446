"""`assay report`: fetch the report of an audit into a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api.cli.options import DEFAULT_URL, Json, Url, emit
from api.client import ServiceClient
from audit.rendering import render_text
from audit.reports import read_statement, unpack_report, write_report

report = typer.Typer()


@report.command()
def report_command(
    audit_id: Annotated[str, typer.Argument(metavar="AUDIT_ID", help="Id of a finished audit.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the report; it must be new or empty.")],
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> None:
    """Fetch the signed report of a finished audit, with its evidence."""
    with ServiceClient(url) as client:
        files = unpack_report(client.read_report_archive(audit_id))
    statement = read_statement(files, audit_id)
    write_report(out, files.items())
    found = {"folder": str(out), "files": sorted(files)}
    # Rendered here, from what is signed: the text that came along is nobody's word.
    text = f"{render_text(statement)}\n{len(files)} files in {out}; nothing is verified yet\nnext: assay verify {out}"
    emit(found, as_json, text)

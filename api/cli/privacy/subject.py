"""`assay privacy subject new|sign|erase`: a data subject's keys and values, and the requests that they consent to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.exits import CommandError, Exit
from api.cli.options import Json, emit, say
from api.cli.privacy.silence import run_silently

subject = typer.Typer(help="A data subject's keys and values, and the requests they consent to.", no_args_is_help=True)

_EXTRA = {"allow_extra_args": True}
ERASED = (
    "Without the redaction key the commitments in requests and reports are random numbers: nobody can show any more whom they"
    " speak of, you included. Copies that you gave away, backups and what a flash drive or journalling file system keeps are not"
    " reached; ask whoever has your openings to delete them."
)
_VISIBLE = "warning: values on a command line stay in the shell's history; --from FILE, or - to be asked, leaves no trace there"
_REGIONAL = "note: the phone number has no country code; a service takes it only with one, as +1 212 555 0100"


def _value(type_: str) -> Any:
    return typer.Option(f"--{type_}", metavar="VALUE", help=f"The {type_}; - asks for it without echo.", show_default=False)


def no_stray_words(context: typer.Context) -> None:
    """Refuse what is left over of the command line without quoting it: a value typed without quotes is a personal value."""
    if context.args:
        raise CommandError(f"{len(context.args)} words too many; put a value with spaces into quotes", Exit.USAGE)


@subject.command("new", context_settings=_EXTRA)
def new(
    context: typer.Context,
    out: Annotated[Path, typer.Option("-o", "--out", help="The subject's file (mode 0600, values in clear); must not exist.")],
    name: Annotated[str | None, _value("name")] = None,
    phone: Annotated[str | None, _value("phone")] = None,
    email: Annotated[str | None, _value("email")] = None,
    address: Annotated[str | None, _value("address")] = None,
    value: Annotated[
        list[str] | None,
        typer.Option("--value", metavar="TYPE=VALUE", help="Any type: family, affiliation, iban, us-ssn, id:COUNTRY.NAME, ..."),
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="Lines type=value, or JSON; - reads standard input.")
    ] = None,
    region: Annotated[str, typer.Option("--region", help="Country of phone numbers without a country code.")] = "US",
    as_json: Json = False,
) -> None:
    """Make a data subject: a signing key, a redaction key, and the values that may be asked about.

    Every value is checked to be of the form of its type. The file stays with the subject; nothing of it is ever sent.
    """
    no_stray_words(context)

    def work() -> tuple[dict[str, Any], str]:
        from api.cli.privacy.private_files import check_new
        from api.cli.privacy.subject_file import write_subject
        from api.cli.privacy.subject_values import check_values, gather, phones_without_country
        from privacy.redaction import length_class

        check_new(out)
        named = (("name", name), ("phone", phone), ("email", email), ("address", address))
        values, visible = gather(named, value or [], source)
        check_values(values, region)
        made = write_subject(out, values, region)
        for warning, holds in ((_VISIBLE, visible), (_REGIONAL, phones_without_country(values))):
            if holds:
                say(warning)
        items = [{"type": type_, "length_class": length_class(one)} for type_, one in values]
        found = {"file": str(out), "subject": made.public_key, "items": items}
        kinds = ", ".join(f"{one['type']} ({one['length_class']} characters)" for one in items)
        return found, f"subject  {made.public_key}\nvalues   {kinds}\nfile     {out} (secret, mode 0600)"

    found, text = run_silently(work)
    emit(found, as_json, text)


@subject.command("sign")
def sign(
    model: Annotated[str, typer.Option("--model", help="Digest that a service shows, a model folder, tiny, or URL#MODEL.")],
    purpose: Annotated[str, typer.Option("--purpose", help="What the answer is for; public, and part of what is signed.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The signed request: public, holds no value.")],
    openings: Annotated[Path, typer.Option("--openings", help="The values with their key (mode 0600), for who runs the probe.")],
    file: Annotated[Path, typer.Option("--subject", help="The subject's file.")] = Path("subject.json"),
    days: Annotated[int, typer.Option("--days", min=1, max=366, help="How long the request may be used.")] = 30,
    types: Annotated[str | None, typer.Option("--types", help="phone,email; default: all. The name always goes along.")] = None,
    as_json: Json = False,
) -> None:
    """Sign a request: this model, this purpose, these types, until then, once.

    The request commits to the values under a key derived for it alone: two requests of one subject cannot be linked by them.
    """

    def work() -> tuple[dict[str, Any], str]:
        from api.cli.privacy.named_model import digest_of_named
        from api.cli.privacy.private_files import check_new, write_new
        from api.cli.privacy.subject_file import read_subject
        from privacy.consent import new_request, read_request

        check_new(out, openings)
        wanted = None if types is None else [one.strip() for one in types.split(",") if one.strip()]
        if wanted == []:
            raise CommandError("--types names no type", Exit.USAGE)
        own = read_subject(file)
        values = own.take(wanted)
        if len(values) < 2:
            raise CommandError("--types must name a type besides the name", Exit.USAGE)
        digest, now = digest_of_named(model), datetime.now(UTC)
        request, secret = new_request(own.signer, own.redactor, digest, purpose, values, now, timedelta(days=days))
        consent = read_request(request, now)
        write_new(openings, secret, private=True)
        write_new(out, request, private=False)
        found = {
            "request": str(out),
            "openings": str(openings),
            "digest": consent.digest,
            "model_digest": consent.model_digest,
            "types": [item.type for item in consent.items],
            "expires": consent.expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        lines = [
            f"consent   {consent.digest}",
            f"model     {consent.model_digest}",
            f"types     {', '.join(found['types'])}",
            f"expires   {found['expires']}",
            f"request   {out} (public)",
            f"openings  {openings} (secret, mode 0600: give it to who runs the probe, and to nobody else)",
        ]
        return found, "\n".join(lines)

    found, text = run_silently(work)
    emit(found, as_json, text)


@subject.command("erase")
def erase_files(
    file: Annotated[Path, typer.Option("--subject", help="The subject's file.")] = Path("subject.json"),
    openings: Annotated[list[Path] | None, typer.Option("--openings", help="Openings to erase too; repeat for several.")] = None,
    as_json: Json = False,
) -> None:
    """Erase the subject's keys and values, and openings: what reports say of them becomes random numbers."""

    def work() -> list[Path]:
        from api.cli.privacy.private_files import erase, read_bounded
        from api.cli.privacy.subject_file import read_subject
        from privacy.consent import read_openings

        read_subject(file)  # nothing else is erased by a wrong path
        for path in openings or []:
            read_openings(read_bounded(path, "the openings", private=True))
        paths = [*(openings or []), file]
        for path in paths:
            erase(path)
        return paths

    paths = run_silently(work)
    emit({"erased": [str(path) for path in paths], "remains": ERASED}, as_json, f"erased {len(paths)} files\n{ERASED}")

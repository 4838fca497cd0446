"""Attacks on certificates: documents of somebody who may sign what he likes. Nothing accepted may contradict itself."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from conformal.auditing import audit_outputs, statement_holds
from conformal.documents import digest, parse_fraction
from conformal.errors import CertificateError, GuaranteeError
from conformal.issuing import issue, make_promise
from conformal.losses import ALL_TRUE
from conformal.reading import read_claims
from conformal.replay import parse_certificate
from conformal.scores.fitting import fit_score
from tests.unit.conformal.vendors import COMPONENTS, ISSUED, NOW, records, table

Json = dict[str, Any]
Change = Callable[[Json], None]


@pytest.fixture(scope="module")
def document() -> Json:
    promise = make_promise("s", ALL_TRUE, Fraction(1, 5))
    held_out = table(records(9, 20, "held out"))
    return issue(promise, table(records(0, 40)), components=COMPONENTS, issued=ISSUED, held_out=held_out).to_json()


def forged(document: Json, change: Change) -> Json:
    found = copy.deepcopy(document)
    change(found)
    del found["sha256"]
    return {**found, "sha256": digest(found)}


@pytest.mark.parametrize("text", ["1e9999999999", "1e-999999999", "1E99999999/3", "1/1e9", "\u0661/\u0662", "1/0", "1_0/11"])
def test_fractions_have_no_exponents(text: str) -> None:
    """Ten characters that would be a number of a gigabyte: refused before they are computed."""
    with pytest.raises(CertificateError):
        parse_fraction(text, "alpha")


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found["promise"].update(alpha="1e9999999999"),
        lambda found: found["promise"].update(delta="1e9999999999"),
        lambda found: found["calibration"]["rates"].update(retention="1e999999999"),
        lambda found: found["held_out"]["rates"].update(retention="1e999999999"),
        lambda found: found["calibration"].update(retention_if_one_output_is_relabelled=["1e999999999"] * 2),
    ],
)
def test_a_certificate_of_endless_numbers_is_refused_at_once(document: Json, change: Change) -> None:
    with pytest.raises(CertificateError):
        parse_certificate(forged(document, change))


def repeat_a_row(found: Json) -> None:
    found["data"]["rows"][1] = found["data"]["rows"][0]


@pytest.mark.parametrize(
    "change",
    [
        repeat_a_row,
        lambda found: found["held_out"].update(ledger_sha256=found["data"]["ledger_sha256"]),
        lambda found: found.update(score_fitted_on_ledger_sha256=found["data"]["ledger_sha256"]),
        lambda found: found["held_out"]["groups"].append(found["held_out"]["groups"][0]),
        lambda found: found["held_out"]["groups"].reverse(),
        lambda found: [group.update(outputs=20) for group in found["held_out"]["groups"]],
    ],
)
def test_a_certificate_that_contradicts_itself_is_refused(document: Json, change: Change) -> None:
    with pytest.raises(CertificateError):
        parse_certificate(forged(document, change))


def respelled(output: Json) -> Json:
    """The same output as far as a reader is concerned, under another id."""
    texts = {"prompt": f"  {output['prompt'].upper()}", "output": output["output"].replace(" ", "\u00a0\n") + "\t"}
    return {**output, **texts, "id": output["id"] + " again"}


def test_an_output_counts_once_however_it_is_spelled() -> None:
    promise, outputs, fresh = make_promise("s", ALL_TRUE, Fraction(1, 5)), records(0, 40), records(1, 40, "fresh")
    with pytest.raises(GuaranteeError, match="there twice"):
        issue(promise, table([*outputs, *map(respelled, outputs)]), components=COMPONENTS, issued=ISSUED)
    made = issue(promise, table(outputs), components=COMPONENTS, issued=ISSUED)
    for slipped, complaint in ((outputs[3], "one of the calibration outputs"), (fresh[3], "there twice")):
        with pytest.raises(GuaranteeError, match=complaint):
            audit_outputs(made, table([*fresh, respelled(slipped)]), COMPONENTS, NOW)
    with pytest.raises(GuaranteeError, match="voids the guarantee"):
        issue(promise, table(outputs), components=COMPONENTS, issued=ISSUED, fitted_on=table([respelled(outputs[0])]))


def test_a_date_beyond_the_calendar_is_refused() -> None:
    promise = make_promise("s", ALL_TRUE, Fraction(1, 5))
    with pytest.raises(CertificateError, match="calendar"):
        issue(promise, table(records(0, 40)), components=COMPONENTS, issued=datetime(9999, 12, 1, tzinfo=UTC))


def test_a_group_that_nobody_looked_at_is_not_consistent() -> None:
    promise = make_promise("s", ALL_TRUE, Fraction(1, 5), by_group=True)
    made = issue(promise, table(records(0, 400)), components=COMPONENTS, issued=ISSUED)
    fresh = records(1, 400, "fresh")
    looked_at = [output for output in fresh if output["group"] == "a"]
    assert audit_outputs(made, table(fresh), COMPONENTS, NOW, shortfall=0.2).verdict == "consistent"
    assert audit_outputs(made, table(looked_at), COMPONENTS, NOW, shortfall=0.2).verdict == "not-enough-data"


def test_right_outputs_put_first_do_not_acquit() -> None:
    promise = make_promise("s", ALL_TRUE, Fraction(1, 5))
    made = issue(promise, table(records(0, 400)), components=COMPONENTS, issued=ISSUED)
    fresh = records(1, 400, "fresh", drift=3.0)
    right = statement_holds(made, table(fresh)).tolist()
    ordered = [fresh[i] for i in sorted(range(len(fresh)), key=lambda i: not right[i])]
    found = audit_outputs(made, table(ordered), COMPONENTS, NOW, shortfall=0.2, sequential=True)
    assert found.groups[0].betting is not None and found.groups[0].betting.verdict == "consistent"
    assert found.groups[0].test.verdict == "refuted" and found.verdict == "not-enough-data"


def test_ten_thousand_groups_do_not_take_their_square() -> None:
    """Looked up one by one, groups made the work of a reader the product of rows and groups."""
    outputs = [{**output, "group": f"group {i // 2}"} for i, output in enumerate(records(0, 400))]
    made = issue(make_promise("s", ALL_TRUE, Fraction(1, 2), by_group=True), table(outputs), components=COMPONENTS, issued=ISSUED)
    looked_at: list[str] = []

    class Name(str):
        def __eq__(self, other: object) -> bool:
            looked_at.append(str(other))
            return super().__eq__(other)

        __hash__ = str.__hash__

    found = made.threshold_for(Name("group 199"))
    assert found is not None and found.group == "group 199" and len(looked_at) < 3
    assert made.threshold_for(None) is None and made.threshold_for("group 200") is None


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\u0085"])
def test_a_line_of_a_ledger_ends_where_json_lines_end(tmp_path: Path, mark: str) -> None:
    """JSON leaves these characters unescaped within texts, where a model may well write them."""
    path = tmp_path / "ledger.jsonl"
    outputs = [{**output, "output": f"one{mark}{output['output']}"} for output in records(0, 3)]
    path.write_text("".join(json.dumps(output, ensure_ascii=False) + "\n" for output in outputs), encoding="utf-8")
    assert read_claims(path)[0].ids == tuple(output["id"] for output in outputs)


def test_a_fitted_score_knows_its_outputs_under_other_ids() -> None:
    outputs = [{"id": output["id"], "claims": output["claims"]} for output in records(0, 60)]
    for output in outputs:
        for claim in output["claims"]:
            claim["text"] += ", at some length, so that it is known by its text"
    score = fit_score(table(outputs), ["s"], "logistic")
    renamed = [{**output, "id": f"other {i}"} for i, output in enumerate(outputs)]
    with pytest.raises(GuaranteeError, match="fitted on"):
        score.for_calibration(table(renamed))

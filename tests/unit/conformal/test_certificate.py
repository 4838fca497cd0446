"""Certificates: replay bit for bit, and nothing altered is ever accepted."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest
from scipy import stats

from conformal.certificate import Certificate
from conformal.documents import canonical, coverage_interval, digest, float_text, parse_float, smallest_level, smallest_sample
from conformal.errors import CertificateError, ConformalError, GuaranteeError, LedgerError
from conformal.issuing import issue, make_promise
from conformal.losses import ALL_TRUE, AtMostFalse, FractionTrue
from conformal.replay import parse_certificate, read_certificate, replay
from tests.unit.conformal.vendors import COMPONENTS, ISSUED, records, table

MODES: dict[str, dict[str, Any]] = {
    "marginal": {},
    "pac": {"delta": Fraction(1, 20)},
    "by group": {"by_group": True},
    "pac by group": {"by_group": True, "delta": Fraction(1, 10), "minimum_n": 25},
    "closed": {"closed": True},
    "ties broken": {"comparator": ">="},
}


def make(n: int = 60, loss: Any = ALL_TRUE, alpha: str = "1/5", seed: int = 0, **mode: Any) -> Certificate:
    outputs = records(seed, n, premises=mode.get("closed", False))
    promise = make_promise("s", loss, Fraction(alpha), **mode)
    return issue(promise, table(outputs), components=COMPONENTS, issued=ISSUED, held_out=table(records(9, 20, "held out")))


@pytest.mark.parametrize("loss", [ALL_TRUE, AtMostFalse(1), FractionTrue(Fraction(3, 5))], ids=lambda loss: loss.name)
@pytest.mark.parametrize("mode", MODES)
def test_every_mode_reads_back_and_replays(mode: str, loss: Any) -> None:
    made = make(loss=loss, **MODES[mode])
    data = made.to_bytes()
    again = read_certificate(data)
    assert again == made and again.to_bytes() == data
    ledger = table(records(0, 60, premises=mode == "closed"))
    assert replay(again, ledger, table(records(9, 20, "held out"))).held_out and not replay(again, ledger).held_out
    labels = list(ledger.labels or ())
    labels[7] = "N" if labels[7] == "Y" else "Y"
    object.__setattr__(ledger, "labels", tuple(labels))
    with pytest.raises(CertificateError, match="digest differs"):
        replay(again, ledger)


def test_every_altered_byte_is_refused() -> None:
    data = make(n=12).to_bytes()
    for place in range(0, len(data), 7):
        for altered in (data[place] ^ 1, data[place] ^ 0x20):
            with pytest.raises(CertificateError):
                read_certificate(data[:place] + bytes([altered]) + data[place + 1 :])
    for spelled in (data + b" ", data[:-1], b" " + data, json.dumps(json.loads(data)).encode(), b"", b"[" * 100_000):
        with pytest.raises(CertificateError):
            read_certificate(spelled)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, (*path, key))
    else:
        yield path


def forged(document: dict[str, Any], path: tuple[Any, ...], change: Any) -> dict[str, Any]:
    """The document with one leaf changed and its digest made to fit."""
    value = copy.deepcopy(document)
    inner: Any = value
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = change(inner[path[-1]])
    del value["sha256"]
    return {**value, "sha256": digest(value)}


def another(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int):
        return value + 1
    if value in (">", "-Infinity", "Infinity"):
        return "0.5"
    last = value[-1]
    return value[:-1] + ("1" if last != "1" else "2")


# What an issuer says and no reader can compute: everything else is found out, without the ledger or with it.
STATED = {("components",), ("issued",), ("expires",), ("score_fitted_on_ledger_sha256",), ("promise", "minimum_n")}


def test_no_forged_number_survives_reading_and_replay() -> None:
    outputs = records(0, 40, premises=True)
    for i, output in enumerate(outputs):
        output["claims"][0]["label"] = "SU"[i % 2]
    ledger, held_out = table(outputs), table(records(9, 20, "held out"))
    promise = make_promise("s", ALL_TRUE, Fraction(1, 5), closed=True)
    document = issue(promise, ledger, components=COMPONENTS, issued=ISSUED, held_out=held_out).to_json()
    survived, only_replay = set(), set()
    for path in leaves(document):
        if path[0] == "sha256":
            continue
        try:
            read = parse_certificate(forged(document, path, another))
        except CertificateError:
            continue
        try:
            replay(read, ledger, held_out)
            survived.add(path[:2] if path[0] == "promise" else path[:1])
        except CertificateError:
            only_replay.add(path[0])
    assert survived <= STATED and only_replay <= {"promise", "data", "calibration", "held_out"} and "data" in only_replay


@pytest.mark.parametrize("junk", [None, True, 0, -1, 1.5, 10**30, "", "x" * 500, "NaN", "nan", "1e5", [], {}, [[]], "\u0000"])
def test_strange_values_are_refused_in_one_way(junk: Any) -> None:
    document = make(n=14, by_group=True).to_json()
    for path in [*leaves(document), *[(name,) for name in document]]:
        value = copy.deepcopy(document)
        inner: Any = value
        for key in path[:-1]:
            inner = inner[key]
        if canonical(inner[path[-1]]) == canonical(junk) or path[0] in ("sha256",):
            continue
        inner[path[-1]] = junk
        if len(path) > 3 and path[:2] == ("data", "rows") and path[2] > 2:
            continue  # one row is like another
        with pytest.raises(CertificateError):
            parse_certificate(value)


@pytest.mark.parametrize("change", [{"extra": 1}, {"format": "assay-conformal-certificate/2"}])
def test_other_members_and_formats_are_refused(change: dict[str, Any]) -> None:
    body = {**make(n=12).to_json(), **change}
    del body["sha256"]
    with pytest.raises(CertificateError):
        parse_certificate({**body, "sha256": digest(body)})


def test_small_samples_abstain_and_say_so() -> None:
    made = read_certificate(make(n=8, alpha="1/10").to_bytes())
    found = made.thresholds[0]
    assert found.rank is None and found.abstains and found.value == float("inf") and found.minimum_alpha == "1/9"
    assert made.calibration.rates.kept == 0 and made.calibration.rates.holds == 8
    assert any("abstains on every output" in line for line in made.to_json()["conditions"])
    exact = make(n=9, alpha="1/10").thresholds[0]
    assert exact.rank == 9 and not exact.abstains
    groups = {t.group: t for t in make(n=29, by_group=True, minimum_n=15).thresholds}
    assert not groups["a"].abstains and groups["b"].abstains and groups["b"].n == 14


def test_what_voids_a_guarantee_is_refused() -> None:
    ledger, promise = table(records(0, 30)), make_promise("s", ALL_TRUE, Fraction(1, 5))
    same = {"components": COMPONENTS, "issued": ISSUED}
    renamed = table([{**output, "id": f"other {i}"} for i, output in enumerate(records(0, 30))])
    with pytest.raises(GuaranteeError, match="held-out outputs: the output"):
        issue(promise, ledger, held_out=renamed, **same)
    with pytest.raises(GuaranteeError, match="fitted on calibration"):
        issue(promise, ledger, fitted_on=renamed, **same)
    tied = records(0, 30)
    for output in tied[:2]:
        output["claims"] = [{"text": "t", "scores": {"s": 9.0}, "label": "N"}]
    with pytest.raises(GuaranteeError, match="ties"):
        issue(make_promise("s", ALL_TRUE, Fraction(1, 5), comparator=">="), table(tied), **same)
    with pytest.raises(LedgerError, match="no group"):
        issue(
            make_promise("s", ALL_TRUE, Fraction(1, 5), by_group=True),
            table([{**output, "group": None} for output in records(0, 30)]),
            **same,
        )
    with pytest.raises(CertificateError, match="64"):
        issue(promise, ledger, components={"model": "A" * 64}, issued=ISSUED)
    with pytest.raises(CertificateError, match="valid for"):
        issue(promise, ledger, valid_days=0, **same)
    with pytest.raises(ConformalError):
        make_promise("s", ALL_TRUE, Fraction(1, 10**9))


def test_dates_belong_together() -> None:
    document = make(n=12).to_json()
    for name, value in (("expires", document["issued"]), ("issued", "2026-01-01"), ("expires", "2099-01-01T00:00:00Z")):
        with pytest.raises(CertificateError):
            parse_certificate(forged(document, (name,), lambda _, value=value: value))
    assert make(n=12).expires == (ISSUED + timedelta(days=90)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize(("rank", "n"), [(1, 1), (1, 50), (46, 50), (25, 49), (901, 1000), (7201, 8000)])
def test_intervals_round_outwards(rank: int, n: int) -> None:
    low, high = (float(text) for text in coverage_interval(rank, n))
    law = stats.beta(rank, n + 1 - rank)
    assert low <= law.ppf(0.025) <= low + 2e-9 and high - 2e-9 <= law.ppf(0.975) <= high + 1e-15


def test_exact_numbers() -> None:
    for value in (0.1, -1e300, 5e-324, float("inf"), float("-inf"), 4.8998812119930735):
        assert parse_float(float_text(value), "x") == value
    assert float_text(-0.0) == "0.0"
    assert smallest_sample(Fraction(1, 10), None) == 9 and smallest_sample(Fraction(2, 7), None) == 3
    assert [smallest_sample(Fraction(1, d), Fraction(1, 20)) for d in (10, 20, 100)] == [29, 59, 299]
    assert smallest_sample(Fraction(1, 2), Fraction(1, 4)) == 2 and smallest_level(50, None) == "1/51"

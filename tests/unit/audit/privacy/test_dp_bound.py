"""`privacy.dp_bound`: computed from the request, computed again from it, with a seed that nobody chose."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from audit.canonical import canonical_bytes
from audit.errors import EvidenceError, RequestError
from audit.kinds import build_registry
from audit.recomputed import RESULT_FILE
from audit.registry import CheckContext, Outcome
from audit.requests import SERVICE, AuditRequest, new_request
from audit.subjects import text_subject

Json = dict[str, Any]
NAME = "privacy.dp_bound"


def canaries(count: int = 400, shift: float = 3.0, seed: int = 5) -> list[Json]:
    rng = np.random.default_rng(seed)
    coins = rng.random(count) < 0.5
    return [{"score": round(float(rng.normal() + shift * coin), 6), "included": bool(coin)} for coin in coins]


def ask(documents: list[Json] | None = None, **params: Any) -> AuditRequest:
    given = canaries() if documents is None else documents
    return new_request("auditor", SERVICE, text_subject(given), NAME, {"documents": given, **params})


def make(request: AuditRequest, entropy: bytes = b"e" * 32) -> dict[str, bytes]:
    kind: Any = build_registry().get(NAME)
    return dict(kind.run(request, SimpleNamespace(entropy=entropy), lambda fraction, message: None, lambda: False))


def judged(request: AuditRequest, evidence: dict[str, bytes] | None = None) -> Outcome:
    return build_registry().get(NAME).check(request, make(request) if evidence is None else evidence, CheckContext({}))


@pytest.mark.parametrize(
    "method",
    [{}, {"method": "split"}, {"method": "splits"}, {"method": "fixed", "k_plus": 100}, {"method": "many-sample"}],
    ids=["grid", "split", "splits", "fixed", "many-sample"],
)
def test_every_method_is_claimed_and_judged(method: Json) -> None:
    outcome = judged(ask(**method))
    assert outcome.verdict == "inconclusive" and outcome.outputs["epsilon_lower"] > 0.5
    assert judged(ask(**method, at_least=0.5)).verdict == "holds"
    assert judged(ask(**method, at_least=50)).verdict == "inconclusive"
    assert judged(ask(**method, at_most=0.4)).verdict == "refuted"
    assert judged(ask(**method, at_most=50)).verdict == "inconclusive"
    nothing = judged(ask(canaries(shift=0.0), **method, at_most=0))
    assert nothing.verdict == "inconclusive" and nothing.outputs["epsilon_lower"] == 0


def test_the_seed_is_the_services(monkeypatch: pytest.MonkeyPatch) -> None:
    request = ask(method="split")
    seeds = {json.loads(make(request, entropy)[RESULT_FILE])["result"]["seed"] for entropy in (b"a" * 32, b"a" * 32, b"b" * 32)}
    assert len(seeds) == 2
    with pytest.raises(RequestError, match="seed"):
        judged(ask(method="split", seed=1))


@pytest.mark.parametrize(
    "change",
    [{"epsilon_lower": 9.0}, {"correct": 400}, {"seed": -1}, {"seed": "1"}, {"extra": 1}, {"canaries": 401}, {"seed": None}],
    ids=repr,
)
def test_forged_results_are_refused(change: Json) -> None:
    request = ask(method="split")
    content = json.loads(make(request)[RESULT_FILE])
    content["result"] |= change
    with pytest.raises(EvidenceError):
        judged(request, {RESULT_FILE: canonical_bytes(content)})
    with pytest.raises(EvidenceError, match="another request"):
        judged(ask(method="split"), make(request))


@pytest.mark.parametrize(
    "params",
    [
        {"documents": []},
        {"documents": [{"score": 1.0}]},
        {"documents": [{"score": "1", "included": True}]},
        {"documents": [{"score": 1.0, "included": 1}]},
        {"documents": [{"score": True, "included": True}]},
        {"documents": canaries(), "method": "best"},
        {"documents": canaries(), "method": "fixed"},
        {"documents": canaries(), "k_plus": 3},
        {"documents": canaries(), "method": "fixed", "k_plus": 300, "k_minus": 300},
        {"documents": canaries(), "at_most": 1, "at_least": 1},
        {"documents": canaries(), "at_most": -1},
        {"documents": canaries(), "alpha": 0.9},
        {"documents": canaries(), "delta": 1},
        {"documents": canaries(3), "method": "split"},
        {"documents": [{"score": 1.0, "included": True}], "method": "many-sample"},
        {"documents": canaries(), "surprise": 1},
    ],
    ids=lambda params: ",".join(f"{name}={value}" for name, value in params.items() if name != "documents")[:40],
)
def test_bad_parameters_are_refused(params: Json) -> None:
    with pytest.raises(RequestError):
        kind = build_registry().get(NAME)
        kind.parse_params(params)
        make(ask(**params))

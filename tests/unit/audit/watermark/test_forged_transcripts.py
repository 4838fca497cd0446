"""Transcripts whose figures are made up: by a test that the scheme does not have, or with more certainty than counts can give."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from audit.canonical import canonical_bytes
from audit.errors import EvidenceError
from audit.registry import Outcome
from audit.watermark.context import RunContext
from audit.watermark.detect import TRANSCRIPT_FILE, DetectParams, check_detect, read_params, run_detect
from watermark.keys import new_key

REQUEST = "ab" * 32
Evidence = tuple[DetectParams, bytes]
# Levels that a clean text reaches under one key in a million, and with the 99 draws of a Monte-Carlo test under one of twenty.
EXACT, DRAWN = 1e-6, 0.05
FAMILIES: dict[str, dict[str, Any]] = {
    "vllm-gumbel": {},
    "kgw-lm-extended": {"vocab_size": 500, "seeding_scheme": "selfhash", "window_size": "max"},
    "kuditipudi-library": {"scheme": "EXP-edit", "vocab_size": 500, "n": 16},
    "synthid": {},
}


@pytest.fixture(scope="module")
def honest() -> dict[str, Evidence]:
    """Evidence about a clean text that is claimed to be unmarked, by family."""
    ids = np.random.default_rng(3).integers(0, 500, 60).tolist()
    found = {}
    for family, options in FAMILIES.items():
        key = new_key(family, options)[0]
        documents, alpha = [{"id": "c", "input_ids": ids}], DRAWN if family == "kuditipudi-library" else EXACT
        params = read_params({"key": key.commitment, "documents": documents, "claim": "unmarked", "runs": 99, "alpha": alpha})
        found[family] = params, run_detect(params, key, RunContext(REQUEST, b"e" * 32))[TRANSCRIPT_FILE]
    return found


def checked(evidence: Evidence, **changes: Any) -> Outcome:
    params, data = evidence
    content = json.loads(data)
    detection = content["documents"][0]["detection"]
    detection.update({**changes, "test": changes.get("test", detection["test"])})
    return check_detect(params, REQUEST, {TRANSCRIPT_FILE: canonical_bytes(content)})


def test_clean_texts_are_not_accused(honest: dict[str, Evidence]) -> None:
    exact = [evidence for evidence in honest.values() if evidence[0].alpha == EXACT]
    assert len(exact) == 3 and all(checked(evidence).outputs["watermarked"] == 0 for evidence in exact)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", ["magic", "", None, ["gamma"], "key-shift", "window-scan"])
def test_tests_that_the_scheme_does_not_have(honest: dict[str, Evidence], family: str, method: Any) -> None:
    if (family, method) in (("synthid", "key-shift"), ("kgw-lm-extended", "window-scan")):
        method = "unknown"
    with pytest.raises(EvidenceError, match="does not have"):
        checked(honest[family], log10_p_value=-30.0, test={"method": method, "distinct": 60, "ngrams": 60})


@pytest.mark.parametrize(("family", "log10_p"), [("kgw-lm-extended", -60.0), ("synthid", -300.0), ("kuditipudi-library", -9.0)])
def test_more_certainty_than_the_counts_can_give(honest: dict[str, Evidence], family: str, log10_p: float) -> None:
    with pytest.raises(EvidenceError):
        checked(honest[family], log10_p_value=log10_p)


def test_a_monte_carlo_test_stops_at_its_own_number(honest: dict[str, Evidence]) -> None:
    """Stopping at the first exceedance would give 1 / 100000 where 2 / 100001 is due, and any other number where it suits."""
    evidence = honest["kuditipudi-library"]
    counts = {"method": "permutation", "draws": 100_000, "exceedances": 1, "stopped": True}
    with pytest.raises(EvidenceError, match="stopped at another number"):
        checked(evidence, log10_p_value=-5.0, test=counts)


def test_too_few_draws_clear_nobody(honest: dict[str, Evidence]) -> None:
    """One draw cannot give p <= alpha, so that its p-value of 1/2 says nothing for the claim either."""
    evidence = honest["kuditipudi-library"]
    counts = {"method": "permutation", "draws": 1, "exceedances": 0, "stopped": False}
    found = checked(evidence, log10_p_value=math.log10(1 / 2), sufficient_tokens=16, test=counts)
    assert found.outputs["documents"][0]["decision"] == "inconclusive" and found.verdict == "inconclusive"
    enough = {"method": "permutation", "draws": 99, "exceedances": 49, "stopped": False}
    found = checked(evidence, log10_p_value=math.log10(1 / 2), sufficient_tokens=16, test=enough)
    assert found.verdict == "holds"


def test_what_a_p_value_supposes_is_a_condition(honest: dict[str, Evidence]) -> None:
    assert any("fixed without regard to these texts" in sentence for sentence in checked(honest["vllm-gumbel"]).conditions)

"""Golden vectors of the shift-keyed family: the library and both demos of jthickstun/watermark."""

from __future__ import annotations

import hashlib
import math
import sys
from typing import Any

import pytest

from tests.data.folder import json_files
from watermark.detection import DetectOptions
from watermark.detectors.alignment import exact_block_test
from watermark.families import as_tokens, open_scheme
from watermark.kernels.alignment import block_minima
from watermark.schemes.shift_keyed import ShiftScheme
from watermark.schemes.shift_keys import ExpKey, ItsKey

pytestmark = pytest.mark.data
LIBRARY = json_files("watermark", "kuditipudi-library", field="family")
PYTHON = json_files("watermark", "kuditipudi-demo-python", field="family")
JAVASCRIPT = json_files("watermark", "kuditipudi-demo-js", field="family")
QUICK = DetectOptions(runs=1, seed=1, alpha=0.5)


@pytest.fixture(autouse=True)
def _without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torch", "transformers", "scipy"):
        monkeypatch.setitem(sys.modules, name, None)


def opened(content: Any, vector: Any) -> tuple[ShiftScheme, Any]:
    scheme = open_scheme(content["family"], vector["config"])
    assert isinstance(scheme, ShiftScheme)
    return scheme, as_tokens(content["sequences"][vector["sequence"]]["token_ids"], vector["config"]["vocab_size"])


def agrees(found: float | None, expected: float | str, relative: float) -> bool:
    wanted = float(expected)
    return found is not None and (found == wanted or math.isclose(found, wanted, rel_tol=relative))


TOLERANCES = ((LIBRARY, 2e-5), (PYTHON, 2e-5), (JAVASCRIPT, 1e-9))
CASES = [pytest.param(*p.values, relative, id=p.id, marks=p.marks) for files, relative in TOLERANCES for p in files]


@pytest.mark.parametrize(("content", "relative"), CASES)
def test_every_statistic(content: Any, relative: float) -> None:
    for vector in content.get("vectors", []):
        scheme, tokens = opened(content, vector)
        assert agrees(scheme.detect(tokens, QUICK).statistic, vector["expected"]["statistic"], relative), vector["id"]


@pytest.mark.parametrize("content", LIBRARY)
def test_best_alignments_keys_and_exact_bounds(content: Any) -> None:
    for vector in content["vectors"]:
        scheme, tokens = opened(content, vector)
        expected, k = vector["expected"], vector["config"]["k"]
        costs = scheme.costs(tokens, scheme.key)
        if "argmin_block" in expected and "edit" not in vector["config"]["scheme"]:
            minima, offsets = block_minima(costs, k)
            best = int(minima.argmin())
            assert (best, int(offsets[best])) == (expected["argmin_block"], expected["argmin_offset"]), vector["id"]
        if "derived_log10_p_upper_bound" in expected:
            log10_p = exact_block_test(costs, tokens, k).log_p / math.log(10)
            assert log10_p == pytest.approx(expected["derived_log10_p_upper_bound"], rel=1e-4, abs=1e-6), vector["id"]
        if isinstance(scheme.key, ItsKey):
            assert scheme.key.order[:6].tolist() == expected["key"]["pi_first6"], vector["id"]
            assert scheme.key.xi[:6].tolist() == expected["key"]["xi_first6"], vector["id"]


@pytest.mark.parametrize("content", LIBRARY)
def test_one_key_to_the_last_bit(content: Any) -> None:
    seen = set()
    for vector in content["vectors"]:
        digest = vector["expected"]["key"].get("xi_float32_le_sha256")
        scheme = open_scheme(content["family"], vector["config"])
        if digest is None or digest in seen or not isinstance(getattr(scheme, "key", None), ExpKey) or len(seen) == 2:
            continue
        seen.add(digest)
        assert hashlib.sha256(scheme.key.matrix().astype("<f4").tobytes()).hexdigest() == digest, vector["id"]  # type: ignore[attr-defined]
    assert seen


@pytest.mark.parametrize("content", PYTHON)
def test_poisoned_keys_are_named_and_never_decide(content: Any) -> None:
    """The reference says -Infinity, the test does not, and the key's entries are the listed ones."""
    poisoned = 0
    for vector in content["vectors"]:
        scheme, tokens = opened(content, vector)
        assert scheme.reference_key is not None
        assert [list(entry) for entry in scheme.reference_key.poison()] == vector["expected"]["key"][
            "entries_equal_to_one_row_token"
        ]
        if vector["expected"]["statistic"] != "-Infinity" or vector.get("note") == "right key":
            continue
        poisoned += 1
        found = scheme.detect(tokens, DetectOptions(runs=99, seed=3))
        assert found.statistic == -math.inf and found.warnings and scheme.hazards()
        if "watermarked" not in content["sequences"][vector["sequence"]]["kind"]:
            assert found.p_value is not None and found.p_value > 0.01, vector["id"]
    assert poisoned


@pytest.mark.parametrize("content", LIBRARY + PYTHON)
def test_permutation_tests_agree_as_estimates(content: Any) -> None:
    """Other generators, so other draws: within four standard errors of both estimates."""
    for vector in content["permutation_tests"]:
        scheme, tokens = opened(content, vector)
        found = scheme.detect(tokens, DetectOptions(runs=199, seed=5)).p_value
        wanted, runs = vector["expected"]["p_value"], vector["n_runs"]
        spread = math.sqrt(max(wanted * (1 - wanted), 0.02) / runs + 0.25 / 199)
        assert found is not None and abs(found - wanted) <= 4 * spread, vector["id"]

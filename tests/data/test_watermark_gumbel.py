"""Golden vectors of vLLM's Gumbel watermark: what the reference printed, figure by figure, with torch out of reach."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from tests.data.folder import ROOT, json_files
from watermark.detection import DetectOptions
from watermark.families import as_tokens, open_scheme
from watermark.primitives.philox import philox4x32

pytestmark = pytest.mark.data
FILES = json_files("watermark", "vllm-gumbel", field="family")


@pytest.mark.parametrize("content", FILES)
def test_philox_answers(content: Any) -> None:
    for answer in content["philox_known_answers"]:
        counter, key = (
            tuple(np.array([int(word, 16)], dtype=np.uint64) for word in answer[name]) for name in ("counter_hex", "key_hex")
        )
        assert [f"{int(word[0]):08x}" for word in philox4x32(counter, key)] == answer["output_hex"]  # type: ignore[arg-type]


@pytest.mark.parametrize("content", FILES)
def test_every_vector(content: Any) -> None:
    assert content["vectors"]
    for vector in content["vectors"]:
        expected = vector["expected"]
        tokens = as_tokens(content["sequences"][vector["sequence"]]["token_ids"], None)
        found = open_scheme("vllm-gumbel", vector["config"]).detect(tokens, DetectOptions(tokens=True))
        assert found.num_tokens_scored == expected["num_scored_tokens"], vector["id"]
        assert found.statistic == pytest.approx(expected["score"], rel=1e-9), vector["id"]
        assert found.reference_p_value == pytest.approx(expected["p_value"], rel=1e-6), vector["id"]
        assert found.reference_decision == expected["is_watermarked"], vector["id"]
        if vector["config"]["deduplicate_contexts"]:
            exact = expected.get("derived_exact_p_value", expected["p_value"])
            assert found.p_value == pytest.approx(exact, rel=1e-6), vector["id"]
            assert found.num_distinct == found.num_tokens_scored
        if vector["config"]["scheme"] == "gumbel":
            first = [token.score for token in found.tokens if token.counted][:4]
            assert first == pytest.approx(expected["first4_token_scores"], rel=1e-12), vector["id"]


@pytest.mark.parametrize("content", FILES)
def test_prf_words_and_contexts(content: Any) -> None:
    from watermark.primitives.philox import fold_contexts, token_words
    from watermark.schemes.gumbel_config import read_config

    for vector in content["vectors"]:
        expected, config = vector["expected"], read_config(vector["config"])
        tokens = np.array(content["sequences"][vector["sequence"]]["token_ids"])
        contexts = config.contexts(tokens)
        assert contexts[:2].tolist() == expected["first2_contexts"], vector["id"]
        words = token_words(fold_contexts(contexts[:4], config.keys[0]), tokens[:4], config.keys[0])
        assert words.tolist() == expected["first4_prf_words"], vector["id"]
        if config.alpha is not None:
            assert config.keys == (expected["key_a"], expected["key_b"]), vector["id"]


def test_detection_needs_no_torch() -> None:
    """Detection on ids imports neither torch nor scipy nor Numba."""
    script = (
        "import sys\n"
        "for name in ('torch', 'scipy', 'numba', 'transformers'): sys.modules[name] = None\n"
        "from watermark.families import detect\n"
        "assert detect('vllm-gumbel', {'scheme': 'dual_key_gumbel', 'key': 7}, list(range(100))).p_value > 0\n"
        "assert detect('synthid', {'ngram_len': 5, 'keys': [654, 400]}, list(range(100))).statistic > 0\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

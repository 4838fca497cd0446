"""Golden vectors of the green-list family: what the references printed, figure by figure, with torch and SciPy out of reach."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from typing import Any, cast

import numpy as np
import pytest

from tests.data.folder import ROOT, json_files
from watermark.detection import DetectOptions
from watermark.families import as_tokens, open_scheme
from watermark.primitives.lm_hash import H_OF_ZERO, fixed_table, hash_int
from watermark.primitives.mersenne import generator, rand_float32, randperm
from watermark.primitives.prf import prf_seeds
from watermark.schemes.green_list import GreenListScheme

pytestmark = pytest.mark.data
FAMILIES = ("kgw-lm-extended", "kgw-lm-basic", "kgw-transformers")
VECTORS = [pytest.param(family, *case.values, id=case.id, marks=case.marks)
           for family in FAMILIES for case in json_files("watermark", family, field="family")]  # fmt: skip
BLOCKS = json_files("watermark", "building-blocks", field="family")


@pytest.fixture(autouse=True)
def _without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torch", "transformers", "scipy"):
        monkeypatch.setitem(sys.modules, name, None)


def sha256(values: Any) -> str:
    return hashlib.sha256(np.asarray(values, dtype="<i8").tobytes()).hexdigest()


def check(found: Any, expected: Any, name: str, windowed: bool = False) -> None:
    assert (found.num_tokens_scored, found.num_green) == (expected["num_tokens_scored"], expected["num_green_tokens"]), name
    assert found.z_score == pytest.approx(expected["z_score"], rel=1e-5 if windowed else 1e-12), name
    assert found.reference_p_value == pytest.approx(expected["p_value"], rel=1e-4 if windowed else 1e-9, abs=0), name


@pytest.mark.parametrize(("family", "content"), VECTORS)
def test_every_vector(family: str, content: Any) -> None:
    assert content["vectors"]
    for vector in content["vectors"]:
        config, expected, name = vector["config"], vector["expected"], vector["id"]
        tokens = as_tokens(content["sequences"][vector["sequence"]]["token_ids"], config["vocab_size"])
        scheme = cast(GreenListScheme, open_scheme(family, config))
        found = scheme.detect(tokens, DetectOptions())
        check(found, expected, name, windowed="window_size" in config)
        assert found.reference_decision == expected["prediction"], name
        assert found.log_p is not None and found.log_p <= 0, name
        assert found.num_distinct <= len(tokens), name
        if "green_mask" in expected:
            assert "".join("01"[int(green)] for green in scheme.green_mask(tokens)) == expected["green_mask"], name
        older = {"5.22.2": {**expected, "p_value": expected["p_value_transformers_5_22_2"]}} if family == FAMILIES[2] else {}
        for version, figures in {**older, **expected.get("older_transformers", {})}.items():
            old = open_scheme(family, {**config, "transformers_version": version}).detect(tokens, DetectOptions())
            check(old, figures, f"{name} {version}")
            assert old.dialect == f"transformers@{version}" and (old.log_p, old.test) == (found.log_p, found.test)


@pytest.mark.parametrize(("family", "content"), VECTORS)
def test_marked_sequences_are_found(family: str, content: Any) -> None:
    """The exact test agrees with the notes: right keys are found, wrong ones are not."""
    seen = set()
    for vector in content["vectors"]:
        note = vector.get("note", "")
        if note not in ("right key", "wrong key"):
            continue
        tokens = as_tokens(content["sequences"][vector["sequence"]]["token_ids"], vector["config"]["vocab_size"])
        found = open_scheme(family, vector["config"]).detect(tokens, DetectOptions())
        seen.add(note)
        assert (found.decision == "watermarked") == (note == "right key"), vector["id"]
    assert "right key" in seen


@pytest.mark.parametrize("content", BLOCKS)
def test_generator_and_table(content: Any) -> None:
    table = content["lm_watermarking_fixed_table"]
    assert fixed_table(table["seed"])[:6].tolist() == table["first6"] and sha256(fixed_table()) == table["int64_le_sha256"]
    assert int(hash_int(np.array([0]))[0]) == H_OF_ZERO
    for entry in content["torch_cpu_generator"]:
        assert rand_float32(generator(entry["seed"]), 4).tolist() == entry["rand_float32_first4"]
        for name, expected in entry.items():
            if name.startswith("randperm_"):
                made = randperm(generator(entry["seed"]), int(name.removeprefix("randperm_")))
                whole = isinstance(expected, list)
                assert (made.tolist() == expected) if whole else (sha256(made) == expected["int64_le_sha256"]), name


@pytest.mark.parametrize("content", BLOCKS)
def test_seeds_and_lists(content: Any) -> None:
    assert len(content["prf"]) > 50
    for entry in content["prf"]:
        seeds = prf_seeds(entry["prf"], np.array([entry["context"]]), entry["hash_key"])
        assert seeds.tolist() == [entry["low32"]], entry
    for entry in content["green_lists"]:
        family = "kgw-transformers" if entry["dialect"].startswith("transformers") else "kgw-lm-extended"
        gamma = "greenlist_ratio" if family == "kgw-transformers" else "gamma"
        config = {name: entry[name] for name in ("seeding_scheme", "vocab_size", "context_width", "hashing_key") if name in entry}
        scheme = cast(GreenListScheme, open_scheme(family, {**config, gamma: entry["gamma"]}))
        made = scheme.green_list(np.array(entry["context"]))
        assert len(made) == entry["size"] and sha256(made) == entry["sorted_int64_le_sha256"], entry
        assert set(entry["first8"]) <= set(made.tolist())


def test_detection_needs_no_torch() -> None:
    """Detection of short texts imports neither torch nor SciPy nor Numba."""
    script = (
        "import sys\n"
        "for name in ('torch', 'scipy', 'numba', 'transformers'): sys.modules[name] = None\n"
        "from watermark.families import detect\n"
        "ids = [7919 * i % 5003 for i in range(300)]\n"
        "for name in ('selfhash', 'lefthash', 'minhash', 'skipgram'):\n"
        "    assert detect('kgw-lm-extended', {'vocab_size': 50257, 'seeding_scheme': name}, ids).p_value > 0\n"
        "assert detect('kgw-transformers', {'vocab_size': 50257}, ids).p_value > 0\n"
        "assert detect('unigram', {'vocab_size': 50257, 'watermark_key': 7}, ids).p_value > 0\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

"""Score files as they stand: the trained model's subjects are found, nobody else's, and raw scores give no verdict."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from privacy.score_table import ScoreTable, Variant, read_scores
from privacy.score_verdicts import VariantResult, judge_variant
from privacy.statistics.binomial import clopper_pearson_upper
from privacy.statistics.planning import nulls_needed, zero_hit_trials
from tests.data.folder import ROOT, data_folder

pytestmark = pytest.mark.data
REFERENCE = {"trained_on": "retain90", "weight_decay": "0.01"}
BLOCKED = ("torch", "transformers", "scipy", "tokenizers", "numba")


def _score_files() -> list[Any]:
    found = []
    for path in sorted((data_folder() / "privacy").glob("*.csv")):
        with path.open(encoding="utf-8-sig", newline="") as stream:
            header = next(csv.reader(stream), [])
        if {"question", "author", "trained_on", "true_nll"} <= set(header):
            found.append(pytest.param(path, id=path.name))
    missing = pytest.mark.skip(reason=f"no score files under {data_folder()}; set ASSAY_DATA to run this test")
    return found or [pytest.param(Path(), id="missing", marks=missing)]


def _expected() -> dict[str, Any]:
    path = data_folder() / "privacy" / "expected.json"
    if not path.is_file():
        pytest.skip(f"no {path}")
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _labels(variant: Variant) -> tuple[str, str]:
    return variant.labels["trained_on"], variant.labels["weight_decay"]


@pytest.mark.parametrize("path", _score_files())
def test_members_and_nobody_else(path: Path) -> None:
    table = read_scores(path)
    judged = 0
    for variant in table.variants:
        reference = table.find(REFERENCE, variant)
        if reference is variant:
            continue
        result = judge_variant(variant, reference)
        assert len(result.subjects) >= 15
        assert result.found == (len(result.subjects) if variant.labels["trained_on"] == "full" else 0), variant.name
        judged += 1
    assert judged >= 2


@pytest.mark.parametrize("path", _score_files())
def test_raw_scores_are_refused(path: Path) -> None:
    for variant in read_scores(path).variants:
        result = judge_variant(variant)
        assert result.found == 0 and {str(one.verdict) for one in result.subjects} == {"association only"}
        assert result.rejected["benjamini_hochberg"] > 0


def _known(table: ScoreTable) -> dict[str, VariantResult]:
    by = {_labels(variant): variant for variant in table.variants}
    reference = by["retain90", "0.01"]
    return {
        "raw_trained_with_the_facts": judge_variant(by["full", "0.01"]),
        "raw_never_trained_on_them": judge_variant(reference),
        "minus_reference_trained_with_the_facts": judge_variant(by["full", "0.01"], reference),
        "minus_reference_trained_with_the_facts_weight_decay_0": judge_variant(by["full", "0"], reference),
        "minus_reference_never_trained": judge_variant(by["retain90", "0"], reference),
    }


def test_known_answers() -> None:
    expected = _expected()["tofu"]["statistics"]
    found = _known(read_scores(data_folder() / "privacy" / "tofu_forget10_scores.csv"))
    assert set(found) == set(expected)
    for name, result in found.items():
        wanted = expected[name]
        assert list(result.rank_counts) == wanted["rank_counts"], name
        assert [one.rank_sum for one in result.subjects] == wanted["author_rank_sums"], name
        assert [one.p_value for one in result.subjects] == pytest.approx(wanted["author_p_values"], rel=1e-12, abs=0), name
        for ours, theirs in (("bonferroni", "bonferroni"), ("holm", "holm"), ("benjamini_hochberg", "bh")):
            assert result.rejected[ours] == wanted[f"rejected_{theirs}_5_percent"], (name, ours)


def test_known_arithmetic() -> None:
    expected = _expected()["arithmetic"]
    for row in expected["zero_hits_certify"]:
        assert zero_hit_trials(row["leak_probability_below"], row["confidence"]) == row["queries_needed"]
    for row in expected["nulls_needed_for_bonferroni_5_percent"]:
        assert nulls_needed(row["tests"]) == row["nulls"]
    for row in expected["clopper_pearson_upper_95_one_sided"]:
        assert clopper_pearson_upper(row["hits"], row["trials"], 0.05) == pytest.approx(row["upper"], rel=1e-12)


@pytest.mark.parametrize("path", _score_files())
def test_command_line(path: Path, tmp_path: Path) -> None:
    """As a user runs it, on a base installation."""
    for name in BLOCKED:
        (tmp_path / f"{name}.py").write_text(f"raise ModuleNotFoundError('{name} is out of reach', name='{name}')\n")

    def run(*words: str) -> tuple[int, dict[str, Any]]:
        start = [sys.executable, "-c", "from api.cli.main import main; main()", "privacy", "test"]
        place = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
        command = [*start, "--scores", str(path), "--json", *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=place)
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    code, raw = run()
    assert code == 5 and all(v["found"] == 0 and v["basis"] == "none" for v in raw["variants"])
    code, calibrated = run("--reference", ",".join(f"{key}={value}" for key, value in REFERENCE.items()))
    assert code == 0
    for variant in calibrated["variants"]:
        assert variant["found"] == (variant["subjects"] if variant["labels"]["trained_on"] == "full" else 0)
        assert variant["basis"] == "calibrated"

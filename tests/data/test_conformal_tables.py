"""The published thresholds and the tables computed from the annotated claims."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from conformal.arrays import hash_jitter, read_arrays
from conformal.calibration import Calibrator, find_threshold, half_splits
from conformal.errors import LedgerError
from conformal.influence import label_influence
from conformal.labels import LabelPolicy
from conformal.laws import beta_quantile
from conformal.levels import marginal_rank, pac_rank, parse_level
from conformal.losses import ALL_TRUE, AtMostFalse, FractionTrue, kept_claims
from conformal.planning import acceptance_interval, size_for_shortfall, smallest_pac_size
from conformal.published import MalformedLabels, read_published
from tests.data.folder import data_folder

pytestmark = pytest.mark.data
FOLDER = data_folder() / "conformal"
EXPECTED = FOLDER / "expected.json"
if not EXPECTED.is_file():
    pytest.skip(f"no conformal data under {data_folder()}; set ASSAY_DATA to run these tests", allow_module_level=True)
TABLES = json.loads(EXPECTED.read_text(encoding="utf-8"))
ANNOTATED = [name for name, table in TABLES.items() if isinstance(table, dict) and "threshold_on_all_outputs" in table]
POLICIES = {
    "Y,S true (default)": LabelPolicy(),
    "U also true": LabelPolicy(unverifiable=True),
    "only Y true": LabelPolicy(subjective=False),
}


def calibrator(
    name: str, score: str, loss: Any = ALL_TRUE, policy: LabelPolicy | None = None, malformed: MalformedLabels = "false"
) -> Calibrator:
    path = FOLDER / TABLES[name]["file"]
    table, _ = read_published(path.read_text(encoding="utf-8"), path.name, malformed)
    return Calibrator.build(table, table.score(score), table.truth(policy or LabelPolicy()), loss, ">=")


def agrees(built: Calibrator, alpha: str, expected: dict[str, float]) -> None:
    found = built.leave_one_out(parse_level(alpha))
    assert found.holds == pytest.approx(expected["factual"], abs=1e-9)
    assert 1 - found.retention == pytest.approx(expected["removed"], abs=1e-9)
    assert found.empty == pytest.approx(expected["abstained"], abs=1e-9)


@pytest.mark.parametrize("name", ANNOTATED)
def test_thresholds_and_leave_one_out_of_every_score(name: str) -> None:
    for score, thresholds in TABLES[name]["threshold_on_all_outputs"].items():
        built = calibrator(name, score)
        for alpha, value in thresholds.items():
            assert built.threshold(parse_level(alpha)).value == float(value)
            agrees(built, alpha, TABLES[name]["leave_one_out"][score][alpha])


@pytest.mark.parametrize("name", ANNOTATED)
def test_conformity_scores_and_published_thresholds(name: str) -> None:
    wanted = [float(r) for r in TABLES[name]["r_scores_frequency_plus_gpt"]]
    assert calibrator(name, "frequency+gpt").conformity == pytest.approx(wanted, abs=1e-12)
    for published in TABLES[name]["published_thresholds"]:
        built = calibrator(name, "frequency+gpt", FractionTrue.parse(published["a"]))
        assert built.threshold(parse_level(published["alpha"])).value == pytest.approx(published["threshold"], abs=1e-12)


@pytest.mark.parametrize("name", ANNOTATED)
def test_partial_entailment(name: str) -> None:
    for fraction, thresholds in TABLES[name]["threshold_partial_a_frequency_plus_gpt"].items():
        built = calibrator(name, "frequency+gpt", FractionTrue.parse(fraction))
        for alpha, value in thresholds.items():
            assert built.threshold(parse_level(alpha)).value == float(value)


@pytest.mark.parametrize("name", ANNOTATED)
def test_half_splits_label_policies_and_single_flips(name: str) -> None:
    built = calibrator(name, "frequency+gpt")
    for alpha, wanted in TABLES[name]["half_splits_1000_frequency_plus_gpt"].items():
        found = half_splits(built, parse_level(alpha))
        assert {key: found[key] for key in wanted} == pytest.approx(wanted, abs=1e-9)
    for policy, wanted in TABLES[name]["label_policy_leave_one_out_alpha_0_10"].items():
        agrees(calibrator(name, "frequency+gpt", policy=POLICIES[policy]), "0.10", wanted)
    flips = TABLES[name]["one_label_flip_alpha_0_10"]
    influence = label_influence(built, parse_level("0.1"))
    assert influence.removed_range == pytest.approx((flips["removed_min"], flips["removed_max"]), abs=1e-9)
    assert influence.share_moving == pytest.approx(flips["share_moving_more_than_5_points"], abs=1e-9)


@pytest.mark.parametrize("name", [n for n in ANNOTATED if TABLES[n]["labels_outside_vocabulary"]])
def test_a_padded_label_is_caught_and_named(name: str) -> None:
    bad = TABLES[name]["labels_outside_vocabulary"][0]
    with pytest.raises(LedgerError, match=rf"item {bad['item']}, claim {bad['claim']}: .*{bad['length']} characters"):
        calibrator(name, "frequency+gpt", malformed="refuse")
    stripped = calibrator(name, "frequency+gpt", malformed="strip")
    for alpha, wanted in TABLES[name]["after_stripping_labels"]["leave_one_out_frequency_plus_gpt"].items():
        agrees(stripped, alpha, wanted)


@pytest.mark.parametrize("name", [n for n, t in TABLES.items() if isinstance(t, dict) and "ancestor_closed" in t])
def test_premise_closure(name: str) -> None:
    path = FOLDER / TABLES[name]["file"]
    table, _ = read_published(path.read_text(encoding="utf-8"), path.name)
    for closed, kind in ((False, "independent"), (True, "ancestor_closed")):
        truth = table.truth(LabelPolicy())
        built = Calibrator.build(table, table.score("frequency+gpt"), truth, ALL_TRUE, ">=", closed)
        for alpha, wanted in TABLES[name][kind].items():
            assert built.threshold(parse_level(alpha)).value == float(wanted["threshold_all"])
            found = built.leave_one_out(parse_level(alpha))
            assert (found.holds, 1 - found.retention) == pytest.approx((wanted["factual"], wanted["removed"]), abs=1e-9)


@pytest.mark.parametrize("entry", TABLES["medlfqa"]["tables"], ids=lambda entry: entry["score"])
@pytest.mark.parametrize("jitter", ["no_jitter", "hash_jitter"])
def test_group_tables_of_the_deterministic_split(entry: dict[str, Any], jitter: str) -> None:
    table = read_arrays(FOLDER / TABLES["medlfqa"]["file"])
    scores = table.score(entry["score"])
    scores = hash_jitter(scores) if jitter == "hash_jitter" else scores
    loss, alpha = AtMostFalse(entry["allowed_false_claims"]), parse_level(entry["alpha"])
    built = Calibrator.build(table, scores, table.truth(LabelPolicy()), loss)
    calibrates = np.arange(table.n_outputs) % 10 < 7
    groups = np.array(table.groups)
    marginal = find_threshold(built.conformity[calibrates], alpha).value
    own = {str(g): find_threshold(built.conformity[calibrates & (groups == g)], alpha).value for g in set(table.groups)}
    per_output = np.array([own[str(g)] for g in groups])
    for group, wanted in entry["deterministic_split"][jitter].items():
        rows = ~calibrates & ((groups == group) | (group == "ALL"))
        for prefix, threshold in (("marginal", np.full(table.n_outputs, marginal)), ("per_group", per_output)):
            kept = kept_claims(scores, threshold[table.owners], ">")
            shares = np.bincount(table.owners, weights=kept) / np.diff(table.offsets)
            assert 1 - loss.holds(table, kept, built.truth)[rows].mean() == pytest.approx(
                wanted[f"{prefix}_miscoverage"], abs=1e-12
            )
            assert shares[rows].mean() == pytest.approx(wanted[f"{prefix}_kept"], abs=1e-12)


def test_planning_tables() -> None:
    planning = TABLES["planning"]
    for entry in planning["conditional_coverage"]:
        k = marginal_rank(entry["n"], parse_level(entry["alpha"]))
        assert k == entry["k"]
        quantiles = [beta_quantile(k, entry["n"], q) for q in (0.05, 0.95)]
        assert quantiles == pytest.approx([entry["q05"], entry["q95"]], abs=1e-9)
    for entry in planning["pac_rank"]:
        assert pac_rank(entry["n"], parse_level(entry["alpha"]), parse_level(entry["delta"])) == entry["k"]
    for entry in planning["audit_acceptance"]:
        found = acceptance_interval(entry["audit_m"], entry["vendor_n"], parse_level(entry["alpha"]))
        assert found == {key: entry[key] for key in found}
    for entry in planning["smallest_n"]:
        assert smallest_pac_size(parse_level(entry["alpha"]), parse_level(entry["delta"])) == entry["n"]
    for entry in planning["n_for_coverage_shortfall"]:
        assert size_for_shortfall(parse_level(entry["alpha"]), entry["eps"]) == entry["n"]

"""The whole audit: what it reports, that the public form keeps the list secret, and that tampering shows."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest

from tests.unit.watermark.stealing.worlds import World, world
from watermark.attacks.stealing.audit import StealingExperiment, run_stealing
from watermark.attacks.stealing.figure import figure_svg
from watermark.attacks.stealing.registry import ATTACKS
from watermark.attacks.stealing.report import StealingReport
from watermark.errors import AttackError, CancelledError, TokenError

ALL = tuple(ATTACKS)


def experiment(made: World, **changes: Any) -> StealingExperiment:
    given = {"attacks": ("counts-2", "n-grams"), "budgets": (100, 400), "judged": 12, "contexts": 40} | changes
    return StealingExperiment("test", next_logits=made.model.next_logits, alternatives=made.model.synonyms_of, **given)


@pytest.fixture(scope="module")
def report() -> StealingReport:
    made = world("unigram-3")
    return run_stealing(made.marked, made.natural, made.scheme, experiment(made, attacks=ALL))


def test_every_attack_reports_every_budget(report: StealingReport):
    assert [(trial.attack, trial.budget) for trial in report.trials] == [(name, budget) for budget in (100, 400) for name in ALL]
    for trial in report.trials:
        assert trial.failed is None
        assert trial.called > 0
        assert len(trial.scrubbed) == len(trial.blind) == len(trial.edits) == len(trial.spoofed) == 12
        low, high = trial.precision.interval
        assert low <= trial.precision.rate <= high
    best = report.curve("counts-2")[-1]
    assert best.precision.rate > 0.95
    assert best.spoof(report.alpha).rate == 1.0
    assert best.scrub(report.held_out, report.alpha).rate > 0.9
    assert best.scrub(report.held_out, report.alpha).rate > best.scrub_control(report.held_out, report.alpha).rate
    assert not report.to_json()["false_alarms"]["hits"]


def test_selfhash_is_reported_as_it_is():
    made = world("selfhash", texts=300, length=60)
    found = run_stealing(made.marked, made.natural, made.scheme, experiment(made, budgets=(250,)))
    counts, ngrams = found.trials
    assert found.green_share == 0.25
    assert 0.3 < counts.precision.rate < 0.9
    assert ngrams.precision.rate > 0.5


def test_same_seed_same_report_but_for_the_clock(report: StealingReport):
    made = world("unigram-3")
    again = run_stealing(lambda n: made.marked[:n], lambda n: made.natural[:n], made.scheme, experiment(made))
    first = run_stealing(made.marked, made.natural, made.scheme, experiment(made)).to_json()
    second = again.to_json()
    for content in (first, second):
        for trial in content["trials"]:
            trial["seconds"] = 0
    assert first == second


@pytest.mark.parametrize("private", [False, True])
def test_round_trip(report: StealingReport, private: bool):
    content = json.loads(json.dumps(report.to_json(private), allow_nan=False))
    read = StealingReport.from_json(content)
    assert read.to_json(private) == report.to_json(private)
    assert all(("calls" in trial) == private for trial in content["trials"])


def test_public_form_holds_no_called_token(report: StealingReport):
    trial = report.to_json()["trials"][0]
    lists = {name: value for name, value in trial.items() if isinstance(value, list)}
    assert set(lists) == {"scrubbed", "blind", "edits", "scrubbed_perplexity", "spoofed", "spoofed_perplexity"}
    assert "watermark_key" not in json.dumps(report.to_json(private=True))


TAMPERED: dict[str, Any] = {
    "called": lambda trial: trial.update(called=trial["called"] + 1),
    "correct": lambda trial: trial.update(correct=trial["correct"] - 1),
    "precision": lambda trial: trial["precision"].update(rate=0.5),
    "interval": lambda trial: trial["precision"].update(interval=[0.0, 1.0]),
    "scrub": lambda trial: trial["scrub"].update(hits=trial["scrub"]["hits"] - 1),
    "scrub_control": lambda trial: trial["scrub_control"].update(trials=3),
    "spoof": lambda trial: trial["spoof"].update(rate=0.0),
    "spoofed": lambda trial: trial["spoofed"].__setitem__(0, -0.001),
    "scrubbed": lambda trial: trial["scrubbed"].pop(),
    "edits": lambda trial: trial["edits"].__setitem__(0, -1),
    "blind": lambda trial: trial["blind"].__setitem__(0, 0.5),
    "perplexity": lambda trial: trial["spoofed_perplexity"].__setitem__(0, 0.2),
    "calls": lambda trial: trial["calls"].__setitem__(0, [trial["calls"][0][0], 1 - trial["calls"][0][1]]),
    "estimate": lambda trial: trial.update(estimated_precision=1.5),
    "seconds": lambda trial: trial.update(seconds="long"),
    "details": lambda trial: trial.update(details=[]),
    "budget": lambda trial: trial.update(budget=True),
}


@pytest.mark.parametrize("what", sorted(TAMPERED))
def test_tampering_with_a_trial_shows(report: StealingReport, what: str):
    content = copy.deepcopy(report.to_json(private=True))
    index = [trial["attack"] for trial in content["trials"]].index("counts-2")
    TAMPERED[what](content["trials"][index])
    with pytest.raises(AttackError):
        StealingReport.from_json(content)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "x"},
        {"alpha": 2},
        {"confidence": 0.9},
        {"held_out": [0.1]},
        {"trials": 3},
        {"trials": [3]},
        {"settings": 1},
        {"label": 1},
    ],
)
def test_tampering_with_the_report_shows(report: StealingReport, change: dict[str, Any]):
    with pytest.raises(AttackError):
        StealingReport.from_json(report.to_json() | change)


def test_figure_names_every_attack(report: StealingReport):
    svg = figure_svg(report)
    assert svg.startswith("<svg") and "<script" not in svg
    assert all(name in svg for name in ALL)


def test_progress_and_cancelling():
    made = world("unigram")
    seen: list[float] = []
    run_stealing(made.marked, made.natural, made.scheme, experiment(made, budgets=(50,)), lambda done, _: seen.append(done))
    assert seen == sorted(seen) and seen[-1] == 1.0
    with pytest.raises(CancelledError):
        run_stealing(made.marked, made.natural, made.scheme, experiment(made), cancelled=lambda: True)


def test_without_a_model_only_the_lists_are_judged():
    made = world("unigram")
    found = run_stealing(made.marked, made.natural, made.scheme, StealingExperiment("bare", ("counts-2",), (200,), judged=5))
    trial = found.trials[0]
    assert trial.called and not trial.spoofed and not trial.scrubbed
    assert StealingReport.from_json(found.to_json()).trials[0].spoof(found.alpha).rate is None


def test_a_failing_attack_is_a_trial():
    made = world("unigram")
    found = run_stealing(
        made.marked, made.natural, made.scheme, experiment(made, attacks=("mip-oracle",), budgets=(300,), time_limit=1e-6)
    )
    assert found.trials[0].failed and found.trials[0].precision.rate is None
    assert figure_svg(found)


def test_refusals():
    made = world("unigram")

    def run(**changes: Any) -> None:
        run_stealing(made.marked, made.natural, made.scheme, experiment(made, **changes))

    with pytest.raises(AttackError, match="no stealing attack"):
        run(attacks=("magic",))
    with pytest.raises(AttackError, match="each once"):
        run(attacks=("counts-2", "counts-2"))
    with pytest.raises(AttackError, match="budgets"):
        run(budgets=(0,))
    with pytest.raises(AttackError, match="needs 10012 marked texts"):
        run(budgets=(10_000,))
    with pytest.raises(AttackError, match="seed"):
        run(seed=-1)
    with pytest.raises(AttackError, match="no green list"):
        run_stealing(made.marked, made.natural, object(), experiment(made))  # type: ignore[arg-type]
    with pytest.raises(TokenError, match="token 0"):
        run_stealing([np.array([10_000, 1])] * 600, made.natural, made.scheme, experiment(made))

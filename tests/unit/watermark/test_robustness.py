"""Robustness experiments on synthetic marked texts: the figures are right, repeat by seed, and can be recounted."""

from __future__ import annotations

import copy
import json
import math
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.unit.watermark.gumbel_texts import gumbel_text
from watermark.attacks.protocol import AttackResources, Codec, TokenDistribution
from watermark.attacks.registry import build_attack
from watermark.detection import DetectOptions
from watermark.errors import AttackError, CancelledError, TokenError
from watermark.families import open_scheme
from watermark.robustness.curves import curves_svg
from watermark.robustness.experiment import Experiment, measure_robustness
from watermark.robustness.intervals import clopper_pearson
from watermark.robustness.report import Cell, RobustnessReport

CONFIG = {"scheme": "gumbel", "key": 0xC0FFEE1234567, "context_width": 2}
RNG = np.random.default_rng(11)
MARKED = [gumbel_text(CONFIG, 80, seed=seed, vocab=300) for seed in range(12)]
CLEAN = [RNG.integers(0, 300, 80) for _ in range(12)]
RESOURCES = AttackResources(TokenDistribution.uniform(300), tuple(CLEAN))


def experiment(**changes: Any) -> Experiment:
    attacks = [build_attack(name, RESOURCES) for name in ("substitution", "truncation", "copy-paste")]
    return Experiment(
        **{"label": "Gumbel", "attacks": attacks, "lengths": [40, 80], "rates": [0.3, 0.9], "vocab_size": 300, **changes}
    )


@pytest.fixture(scope="module")
def report() -> RobustnessReport:
    return measure_robustness(open_scheme("vllm-gumbel", CONFIG), MARKED, CLEAN, experiment())


def test_figures(report: RobustnessReport) -> None:
    assert len(report.cells) == 2 * (1 + 3 * 2) and [cell.length for cell in report.false_alarms] == [40, 80]
    unedited = report.curve("substitution", 80)[0]
    assert unedited.rate == 0 and unedited.power == 1 and unedited.interval[0] > 0.7 and unedited.median_log10_p < -10
    destroyed = report.curve("substitution", 80)[-1]
    assert destroyed.rate == 0.9 and destroyed.power < 0.2
    rate = report.half_power("substitution", 80)
    assert rate is not None and 0.3 < rate < 0.9
    assert all(cell.power <= 0.25 for cell in report.false_alarms)
    short = report.curve("truncation", 80)[-1]  # 8 tokens are left: no verdict, so not detected
    assert short.log10_p == (None,) * 12 and short.power == 0 and short.median_log10_p == 0


def test_the_same_seed_gives_the_same_report(report: RobustnessReport) -> None:
    scheme = open_scheme("vllm-gumbel", CONFIG)
    assert measure_robustness(scheme, MARKED, CLEAN, experiment()) == report
    assert measure_robustness(scheme, MARKED, CLEAN, experiment(seed=1)) != report
    alone = measure_robustness(scheme, MARKED, CLEAN, experiment(attacks=[build_attack("copy-paste", RESOURCES)], lengths=[80]))
    assert alone.curve("copy-paste", 80) == report.curve("copy-paste", 80)


def test_round_trip_and_recount(report: RobustnessReport) -> None:
    content = json.loads(json.dumps(report.to_json()))
    assert RobustnessReport.from_json(content) == report
    assert str(CONFIG["key"]) not in json.dumps(content)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["cells"][3].update(power=0.123),
        lambda content: content["cells"][3].update(detected=11.5),
        lambda content: content["cells"][0].update(interval=[0.9, 1.0]),
        lambda content: content["cells"][1].update(median_log10_p=-99.0),
        lambda content: content["cells"][1]["log10_p"].__setitem__(0, -0.1),
        lambda content: content["cells"][1]["log10_p"].__setitem__(0, 0.5),
        lambda content: content["cells"][1]["log10_p"].__setitem__(0, "small"),
        lambda content: content["cells"][1].update(log10_p=[]),
        lambda content: content["cells"][1].update(rate=1.5),
        lambda content: content["cells"][1].pop("attack"),
        lambda content: content["cells"].append(content["cells"][0]),
        lambda content: content["false_alarms"][0].update(detected=1, power=0.08),
        lambda content: content["half_power"][0].update(rate=0.95),
        lambda content: content["half_power"].pop(),
        lambda content: content.update(alpha=0.2),
        lambda content: content.update(alpha=0),
        lambda content: content.update(confidence=0.5),
        lambda content: content.update(format="assay-robustness/2"),
        lambda content: content.update(cells={}),
        lambda content: content.update(label=None),
        lambda content: content.update(settings=None),
    ],
)
def test_figures_that_do_not_add_up_are_refused(report: RobustnessReport, change: Any) -> None:
    content = copy.deepcopy(report.to_json())
    change(content)
    with pytest.raises(AttackError):
        RobustnessReport.from_json(content)


def test_counting() -> None:
    cell = Cell.count("deletion", 0.1, 50, [-3.0, -2.9, None, -8.0], 0.001)
    assert (cell.detected, cell.power) == (2, 0.5) and cell.median_log10_p == pytest.approx(-2.95)
    assert cell.interval == pytest.approx((0.0676, 0.9324), abs=1e-4)
    # 1/1000 through another logarithm is still at alpha
    assert Cell.count("deletion", 0.1, 50, [math.log(0.001) / math.log(10)], 0.001).detected == 1


def test_intervals_against_scipy() -> None:
    beta = pytest.importorskip("scipy.stats").beta
    for hits, trials in ((0, 1), (0, 30), (30, 30), (1, 30), (17, 400), (399, 400)):
        low, high = clopper_pearson(hits, trials)
        assert low == pytest.approx(beta.ppf(0.025, hits, trials - hits + 1) if hits else 0.0, abs=1e-9)
        assert high == pytest.approx(beta.ppf(0.975, hits + 1, trials - hits) if hits < trials else 1.0, abs=1e-9)
    for wrong in ((-1, 5), (6, 5), (0, 0)):
        with pytest.raises(ValueError):
            clopper_pearson(*wrong)


def test_half_power() -> None:
    def curve(*powers: float) -> RobustnessReport:
        cells = [
            Cell("none" if i == 0 else "swap", i / 10, 50, (-9.0,), 1, power, (0.0, 1.0), -9.0) for i, power in enumerate(powers)
        ]
        return RobustnessReport("x", "x", "x", 0.001, {}, tuple(cells), ())

    assert curve(1.0, 0.9, 0.6, 0.2).half_power("swap", 50) == pytest.approx(0.225)
    assert curve(1.0, 0.9).half_power("swap", 50) is None
    assert curve(0.4, 0.1).half_power("swap", 50) == 0.0


def test_the_figure(report: RobustnessReport) -> None:
    other = RobustnessReport.from_json({**report.to_json(), "label": "<b>&other"})
    svg = curves_svg([report, other])
    root = ElementTree.fromstring(svg)
    name = "{http://www.w3.org/2000/svg}"
    assert len(root.findall(f"{name}polyline")) == 3 * 2 * 2 == len(root.findall(f"{name}polygon"))
    assert "<b>" not in svg and "script" not in svg and "NaN" not in svg and "http" not in svg.replace("http://www.w3.org", "")
    with pytest.raises(AttackError):
        curves_svg([])
    with pytest.raises(AttackError):
        curves_svg([report, RobustnessReport("x", "x", "x", 0.01, {}, report.cells, ())])


def test_progress_and_stop() -> None:
    scheme = open_scheme("vllm-gumbel", CONFIG)
    seen: list[float] = []
    measure_robustness(scheme, MARKED[:2], [], experiment(lengths=[40]), progress=lambda share, _: seen.append(share))
    assert seen == sorted(seen) and seen[0] == 0 and seen[-1] == 1
    with pytest.raises(CancelledError):
        measure_robustness(scheme, MARKED, CLEAN, experiment(), cancelled=lambda: True)


def test_text_attacks_in_an_experiment() -> None:
    codec = Codec(lambda text: [ord(letter) - 32 for letter in text], lambda ids: "".join(chr(i + 32) for i in ids))
    attack = build_attack("homoglyphs")
    scheme = open_scheme("vllm-gumbel", CONFIG)
    found = measure_robustness(scheme, MARKED, [], experiment(attacks=[attack], codec=codec, lengths=[80], vocab_size=2000))
    assert found.curve("homoglyphs", 80)[-1].median_log10_p > found.curve("homoglyphs", 80)[0].median_log10_p
    with pytest.raises(TokenError):  # look-alikes are outside the vocabulary
        measure_robustness(scheme, MARKED, [], experiment(attacks=[attack], codec=codec, lengths=[80]))


@pytest.mark.parametrize(
    "change",
    [{"attacks": []}, {"attacks": [build_attack("swap")] * 2}, {"lengths": []}, {"lengths": [0]}, {"lengths": [81]},
     {"rates": []}, {"rates": [0.0]}, {"rates": [1.5]}, {"rates": [i / 20000 for i in range(1, 9000)]}, {"seed": -1},
     {"attacks": [build_attack("synonyms")]}],
)  # fmt: skip
def test_bad_experiments(change: dict[str, Any]) -> None:
    with pytest.raises(AttackError):
        measure_robustness(open_scheme("vllm-gumbel", CONFIG), MARKED, CLEAN, experiment(**change))


def test_no_marked_texts() -> None:
    with pytest.raises(AttackError):
        measure_robustness(open_scheme("vllm-gumbel", CONFIG), [], CLEAN, experiment(options=DetectOptions(alpha=0.01)))

"""Tests of change: silent where nothing changes, loud where something does, and repeatable from the report."""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt
import pytest

from watermark.distortion.experiment import Plan, run_distortion
from watermark.distortion.report import DistortionReport, Samples, Text, assess
from watermark.distortion.tests_of_change import integral_transform, repeat_test, swap_test, token_test
from watermark.errors import AttackError, CancelledError

VOCABULARY = 40


class ToyModel:
    """A Markov chain; `mark` is none, bias (a green list per key and context) or keyed (Gumbel noise hashed from the context)."""

    def __init__(self, mark: str) -> None:
        self.mark = mark
        self.chain = np.random.default_rng(5).dirichlet(np.full(VOCABULARY, 0.1), size=VOCABULARY)

    def _text(self, start: int, rng: np.random.Generator, key: int | None, length: int) -> Text:
        out: list[int] = []
        state = start
        for _ in range(length):
            p = self.chain[state]
            if key is not None and self.mark == "bias":
                p = p * np.where(np.random.default_rng([key, state]).random(VOCABULARY) < 0.25, np.e**2, 1.0)
            if key is not None and self.mark == "keyed":
                u = np.random.default_rng([key, len(out), *out[-3:]]).random(VOCABULARY)
                state = int(np.argmax(np.log(p + 1e-300) - np.log(-np.log(u))))
            else:
                state = int(rng.choice(VOCABULARY, p=p / p.sum()))
            out.append(state)
        return tuple(out)

    def next_tokens(self, prompts: int, seed: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        rng = np.random.default_rng(seed)
        tokens = [self._text(i % VOCABULARY, rng, int(rng.integers(1 << 40)), 1)[0] for i in range(prompts)]
        return self.chain[np.arange(prompts) % VOCABULARY], np.array(tokens)

    def marked(self, prompts: int, seed: int, fresh_keys: bool) -> list[Text]:
        rng = np.random.default_rng(seed)
        return [self._text(i % VOCABULARY, rng, int(rng.integers(1 << 40)) if fresh_keys else 7, 24) for i in range(prompts)]

    def plain(self, prompts: int, seed: int) -> list[Text]:
        rng = np.random.default_rng(seed)
        return [self._text(i % VOCABULARY, rng, None, 24) for i in range(prompts)]


def experiment(mark: str, seed: int = 0) -> DistortionReport:
    return run_distortion(ToyModel(mark), Plan(mark, 1500, 24, 6, 6, limit=24, runs=499, seed=seed))


def test_an_unchanged_model_refutes_no_claim() -> None:
    assert experiment("none").refuted == ()


def test_a_bias_shows_in_a_single_token() -> None:
    assert "token" in experiment("bias").refuted


def test_hashed_noise_passes_one_text_a_key_and_fails_on_repeated_prompts() -> None:
    report = experiment("keyed")
    assert report.refuted == ("repeat",)
    assert report.effects["marked_equal_answers"] > report.effects["plain_equal_answers"]


def test_a_report_repeats_from_its_samples_and_only_as_stated() -> None:
    data = json.loads(json.dumps(experiment("keyed").to_json()))
    assert DistortionReport.from_json(data).to_json() == data
    with pytest.raises(AttackError):
        DistortionReport.from_json({**data, "p_values": {**data["p_values"], "repeat": 0.5}})
    with pytest.raises(AttackError):
        DistortionReport.from_json({"format": "x"})
    assert experiment("none").figure_svg().startswith("<svg")


def test_effects_say_by_how_much_with_intervals() -> None:
    effects = experiment("bias").effects
    assert effects["token_distance"] > effects["token_distance_at_least"] > 0.01
    for name in ("tokens", "at_limit", "repeated_4_grams", "distinct_2", "entropy"):
        assert effects[f"change_{name}"] == pytest.approx(effects[f"marked_{name}"] - effects[f"plain_{name}"])
        assert effects[f"change_{name}_low"] <= effects[f"change_{name}"] <= effects[f"change_{name}_high"]
    assert experiment("none").effects["token_distance_at_least"] == 0


def test_figures_may_differ_in_the_last_digits_only() -> None:
    data = json.loads(json.dumps(experiment("none").to_json()))
    data["effects"]["plain_entropy"] *= 1 + 1e-13
    DistortionReport.from_json(data)
    data["effects"]["plain_entropy"] *= 1 + 1e-6
    with pytest.raises(AttackError):
        DistortionReport.from_json(data)


def test_a_run_can_be_cancelled_and_settings_are_checked() -> None:
    with pytest.raises(CancelledError):
        run_distortion(ToyModel("none"), Plan("x"), cancelled=lambda: True)
    with pytest.raises(AttackError):
        run_distortion(ToyModel("none"), Plan("x", repeats=1))
    with pytest.raises(AttackError):
        assess(Samples((0.5,), (), (), 1), "x", 0.01, 5, 0)


@pytest.mark.parametrize("seed", [0, 1])
def test_p_values_are_uniform_under_the_null(seed: int) -> None:
    """A seeded slice; the levels over many runs are in tests/guarantees."""
    levels = null_levels(seed, 60)
    assert all(count <= 10 for count in levels)  # P(Bin(60, 0.05) > 10) < 1e-3


def null_levels(seed: int, runs: int) -> tuple[int, int, int]:
    """How often each of the three tests gives p <= 0.05 where nothing changes."""
    found = [0, 0, 0]
    for i in range(runs):
        rng = np.random.default_rng([seed, i])
        p = rng.dirichlet(np.full(12, 0.5), size=60)
        tokens = np.array([rng.choice(12, p=row) for row in p])
        found[0] += token_test(integral_transform(p, tokens, rng), 99, rng) <= 0.05
        features = rng.normal(size=(2, 12, 514)) * rng.random(514)
        found[1] += swap_test(features[0], features[1], 99, rng) <= 0.05
        texts = rng.integers(0, 3, size=(4, 8, 6)).tolist()
        found[2] += repeat_test([(group[:4], group[4:]) for group in texts], 99, rng) <= 0.05
    return found[0], found[1], found[2]

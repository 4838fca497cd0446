"""What a distortion experiment found. The report holds its samples, so that anyone can repeat every test on them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from watermark.distortion.tests_of_change import (
    repeat_test,
    repeated_share,
    swap_test,
    text_features,
    token_entropy,
    token_test,
)
from watermark.errors import AttackError
from watermark.figures import Line, Panel, render

FORMAT = "assay-distortion/1"
MAX_TEXTS, MAX_TEXT_TOKENS, MAX_RUNS = 20_000, 100_000, 100_000
BOOTSTRAPS = 500
CLAIMS = {
    "token": "one token under a fresh key has the model's distribution",
    "text": "one text under a fresh key has the model's distribution",
    "repeat": "several answers to one prompt under one key are as independent as the model's",
}
Text = tuple[int, ...]


@dataclass(frozen=True)
class Samples:
    """`transform`: u of one token a prompt (see `integral_transform`). `pairs`: (marked, plain) text of every prompt, each under
    a fresh key. `answers`: for every prompt r marked texts under one key, and r plain ones. `limit`: most tokens of a text."""

    transform: tuple[float, ...]
    pairs: tuple[tuple[Text, Text], ...]
    answers: tuple[tuple[tuple[Text, ...], tuple[Text, ...]], ...]
    limit: int


@dataclass(frozen=True)
class DistortionReport:
    """`p_values` by claim (CLAIMS); `adjusted` are Holm's over those tested; `refuted` the claims with adjusted <= alpha.

    `effects` are measurements for people: no test rests on them. `token_distance_at_least` bounds the total variation distance of
    single tokens from below with 95 % confidence (Dvoretzky, Kiefer, Wolfowitz; Massart).
    """

    label: str
    alpha: float
    runs: int
    seed: int
    samples: Samples
    p_values: Mapping[str, float]
    adjusted: Mapping[str, float]
    effects: Mapping[str, float]

    @property
    def refuted(self) -> tuple[str, ...]:
        return tuple(claim for claim, p in self.adjusted.items() if p <= self.alpha)

    def to_json(self) -> dict[str, Any]:
        """JSON values; `from_json` reads them back and repeats the tests."""
        samples = self.samples
        return {
            "format": FORMAT,
            "label": self.label,
            "alpha": self.alpha,
            "runs": self.runs,
            "seed": self.seed,
            "p_values": dict(self.p_values),
            "adjusted": dict(self.adjusted),
            "refuted": list(self.refuted),
            "effects": dict(self.effects),
            "samples": {
                "transform": list(samples.transform),
                "pairs": [[list(marked), list(plain)] for marked, plain in samples.pairs],
                "answers": [[[list(t) for t in marked], [list(t) for t in plain]] for marked, plain in samples.answers],
                "limit": samples.limit,
            },
        }

    @classmethod
    def from_json(cls, data: Any) -> DistortionReport:
        """Read a report and repeat every test on its samples. Raises AttackError when a figure does not come out as stated."""
        try:
            found = assess(
                _read_samples(data["samples"]),
                str(data["label"])[:200],
                float(data["alpha"]),
                int(data["runs"]),
                int(data["seed"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError):
            raise AttackError("this is no distortion report") from None
        if data.get("format") != FORMAT or not _same(found.to_json(), data):
            raise AttackError("the samples of this distortion report do not give the figures it states")
        return found

    def figure_svg(self) -> str:
        """p-values of the three claims, and the cumulative share of u against the diagonal."""
        u = np.sort(np.array(self.samples.transform))
        cumulative = tuple((float(x), (i + 1) / len(u)) for i, x in enumerate(u)) or ((0.0, 0.0), (1.0, 1.0))
        epsilon = math.sqrt(math.log(2 / 0.05) / (2 * max(1, len(u))))
        band = tuple((x / 20, max(0.0, x / 20 - epsilon), min(1.0, x / 20 + epsilon)) for x in range(21))
        shown = "; ".join(f"{claim}: p = {p:.3g}" for claim, p in self.adjusted.items())
        lines = (
            Line("the model's distribution, 95 % band", ((0.0, 0.0), (1.0, 1.0)), band, colour=6, dash=1),
            Line("tokens of the mark", cumulative, colour=1),
        )
        panel = Panel("one token under a fresh key", "rank in probability", "share of tokens", lines)
        return render([panel], f"Distortion of {self.label}: {shown}"[:160])


def assess(samples: Samples, label: str, alpha: float, runs: int, seed: int) -> DistortionReport:
    """Run the tests on samples. Deterministic. Raises AttackError for settings out of range."""
    if not 0 < alpha < 1 or not 19 <= runs <= MAX_RUNS:
        raise AttackError(f"alpha must lie between 0 and 1, and runs between 19 and {MAX_RUNS}")
    p_values: dict[str, float] = {}
    if samples.transform:
        p_values["token"] = token_test(np.array(samples.transform), runs, np.random.default_rng([seed, 1]))
    if samples.pairs:
        marked, plain = (np.stack([text_features(pair[i]) for pair in samples.pairs]) for i in (0, 1))
        p_values["text"] = swap_test(marked, plain, runs, np.random.default_rng([seed, 2]))
    if samples.answers:
        p_values["repeat"] = repeat_test(samples.answers, runs, np.random.default_rng([seed, 3]))
    return DistortionReport(label, alpha, runs, seed, samples, p_values, _holm(p_values), _effects(samples, seed))


def _same(own: Any, stated: Any) -> bool:
    """Equal, but for what another machine's sums may differ in the last digits."""
    if isinstance(own, dict):
        return isinstance(stated, dict) and own.keys() == stated.keys() and all(_same(own[name], stated[name]) for name in own)
    if isinstance(own, list):
        return isinstance(stated, list) and len(own) == len(stated) and all(map(_same, own, stated))
    if isinstance(own, float):
        return type(stated) in (int, float) and math.isclose(own, stated, rel_tol=1e-9, abs_tol=1e-12)
    return type(own) is type(stated) and bool(own == stated)


def _holm(p_values: Mapping[str, float]) -> dict[str, float]:
    ordered = sorted(p_values.items(), key=lambda item: item[1])
    out, least = {}, 0.0
    for rank, (claim, p) in enumerate(ordered):
        least = max(least, min(1.0, (len(ordered) - rank) * p))
        out[claim] = least
    return {claim: out[claim] for claim in p_values}


def _effects(samples: Samples, seed: int) -> dict[str, float]:
    effects: dict[str, float] = {}
    if samples.transform:
        u = np.sort(np.array(samples.transform))
        steps = np.arange(len(u) + 1) / len(u)
        distance = float(max((steps[1:] - u).max(), (u - steps[:-1]).max()))
        effects["token_distance"] = distance
        effects["token_distance_at_least"] = max(0.0, distance - math.sqrt(math.log(2 / 0.05) / (2 * len(u))))
    if samples.pairs:
        effects |= _text_effects(samples, np.random.default_rng([seed, 4]))
    for name, index in (("marked", 0), ("plain", 1)):
        groups = [answer[index] for answer in samples.answers]
        if groups:
            effects[f"{name}_equal_answers"] = float(np.mean([1 - len(set(group)) / len(group) for group in groups]))
    return effects


def _text_effects(samples: Samples, rng: np.random.Generator) -> dict[str, float]:
    """Means over marked and over plain texts, and of the change with its 95 % interval (percentile bootstrap over prompts)."""
    measures: dict[str, Callable[[Text], float]] = {
        "tokens": len,
        "at_limit": lambda text: float(len(text) >= samples.limit),
        "repeated_4_grams": repeated_share,
        "distinct_2": lambda text: 1 - repeated_share(text, 2),
        "entropy": token_entropy,
    }
    effects: dict[str, float] = {}
    count = len(samples.pairs)
    drawn = rng.integers(0, count, size=(BOOTSTRAPS, count))
    for name, measure in measures.items():
        marked, plain = (np.array([measure(pair[i]) for pair in samples.pairs], dtype=np.float64) for i in (0, 1))
        effects[f"marked_{name}"], effects[f"plain_{name}"] = float(marked.mean()), float(plain.mean())
        change = marked - plain
        low, high = np.quantile(change[drawn].mean(axis=1), (0.025, 0.975))
        effects[f"change_{name}"] = float(change.mean())
        effects[f"change_{name}_low"], effects[f"change_{name}_high"] = float(low), float(high)
    return effects


def _read_samples(data: Any) -> Samples:
    def text(value: Any) -> Text:
        if not isinstance(value, list) or len(value) > MAX_TEXT_TOKENS or not all(type(t) is int and t >= 0 for t in value):
            raise ValueError
        return tuple(value)

    pairs, answers = data["pairs"], data["answers"]
    if len(pairs) > MAX_TEXTS or sum(len(m) + len(p) for m, p in answers) > MAX_TEXTS or len(data["transform"]) > MAX_TEXTS:
        raise ValueError
    transform = tuple(float(u) for u in data["transform"])
    if not all(0 <= u <= 1 for u in transform):
        raise ValueError
    return Samples(
        transform=transform,
        pairs=tuple((text(marked), text(plain)) for marked, plain in pairs),
        answers=tuple((tuple(map(text, marked)), tuple(map(text, plain))) for marked, plain in answers),
        limit=int(data["limit"]),
    )

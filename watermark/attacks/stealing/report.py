"""What a stealing audit found, in a form that can be recounted from what it keeps.

Two forms. The public one keeps, of what an attack called green, the counts only: called tokens together with whether each
is green are the key's list itself. The private one adds them, for whoever holds the key anyway. Both keep every p-value, edit
count and perplexity that success was counted from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from watermark.errors import AttackError
from watermark.robustness.intervals import clopper_pearson

FORMAT = "assay-stealing/1"
CONFIDENCE = 0.95
MAX_TRIALS = 10_000
MAX_CALLS = 200_000
MAX_VALUES = 1_000_000
_SLACK = 1e-9

LogP = float | None  # log10 of a p-value; None where the detector gave no verdict, which never counts as detected
Interval = tuple[float, float]


def detected(log10_p: LogP, alpha: float) -> bool:
    """Whether a p-value decides "marked"."""
    return log10_p is not None and log10_p <= math.log10(alpha) + _SLACK


@dataclass(frozen=True)
class Share:
    """`hits` of `trials`, with the exact interval; rate and interval are None where nothing was tried."""

    hits: int
    trials: int

    @property
    def rate(self) -> float | None:
        return self.hits / self.trials if self.trials else None

    @property
    def interval(self) -> Interval | None:
        return clopper_pearson(self.hits, self.trials, CONFIDENCE) if self.trials else None

    def to_json(self) -> dict[str, Any]:
        interval = self.interval
        return {
            "hits": self.hits,
            "trials": self.trials,
            "rate": self.rate,
            "interval": None if interval is None else list(interval),
        }


@dataclass(frozen=True)
class Trial:
    """One attack with one budget (marked texts, and as many natural ones).

    `correct`: how many of the `called` calls are green. `scrubbed`, `blind` (control) and `edits` go through the audit's held-out
    marked texts in order; `spoofed` through its prompts. The perplexities are those of the scrubbed and of the spoofed texts.
    `seconds` count the detector's answers to programmes that ask for them (`details` have the solver's own).
    `calls` are (token, is green) pairs, kept in private form only. `failed` says why an attack gave nothing.
    """

    attack: str
    budget: int
    called: int
    correct: int
    seconds: float
    estimated_precision: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    scrubbed: tuple[LogP, ...] = ()
    blind: tuple[LogP, ...] = ()
    edits: tuple[int, ...] = ()
    scrubbed_perplexity: tuple[float, ...] = ()
    spoofed: tuple[LogP, ...] = ()
    spoofed_perplexity: tuple[float, ...] = ()
    calls: tuple[tuple[int, bool], ...] | None = field(default=None, repr=False)
    failed: str | None = None

    @property
    def precision(self) -> Share:
        """Called tokens that are green. The interval treats calls as independent."""
        return Share(self.correct, self.called)

    def scrub(self, held_out: Sequence[LogP], alpha: float) -> Share:
        """Texts that were detected and after scrubbing are not."""
        return _undetected(self.scrubbed, held_out, alpha)

    def scrub_control(self, held_out: Sequence[LogP], alpha: float) -> Share:
        """The same for as many edits at random places."""
        return _undetected(self.blind, held_out, alpha)

    def spoof(self, alpha: float) -> Share:
        """Unmarked models' texts that are taken for marked."""
        return Share(sum(detected(value, alpha) for value in self.spoofed), len(self.spoofed))


def _undetected(after: Sequence[LogP], before: Sequence[LogP], alpha: float) -> Share:
    pairs = [then for now, then in zip(before, after) if detected(now, alpha)]
    return Share(sum(not detected(then, alpha) for then in pairs), len(pairs))


@dataclass(frozen=True)
class StealingReport:
    """All trials of one scheme. `held_out` are the p-values of the marked texts that are scrubbed, `unforged` those of the
    attacker's model without boosts (false alarms); `green_share` is the precision of a blind guess. `settings` says what was
    run, in JSON values and without keys."""

    label: str
    scheme: str
    dialect: str
    alpha: float
    green_share: float
    settings: Mapping[str, Any]
    held_out: tuple[LogP, ...]
    held_out_perplexity: tuple[float, ...]
    unforged: tuple[LogP, ...]
    unforged_perplexity: tuple[float, ...]
    trials: tuple[Trial, ...]

    @property
    def attacks(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(trial.attack for trial in self.trials))

    def curve(self, attack: str) -> tuple[Trial, ...]:
        """The trials of one attack by rising budget."""
        return tuple(sorted((trial for trial in self.trials if trial.attack == attack), key=lambda trial: trial.budget))

    def to_json(self, private: bool = False) -> dict[str, Any]:
        """The report as JSON values. With `private`, what each attack called and whether it is green: as secret as the key."""
        return {
            "format": FORMAT,
            "private": private,
            "label": self.label,
            "scheme": self.scheme,
            "dialect": self.dialect,
            "alpha": self.alpha,
            "confidence": CONFIDENCE,
            "green_share": self.green_share,
            "settings": dict(self.settings),
            "held_out": list(self.held_out),
            "held_out_perplexity": _finite(self.held_out_perplexity),
            "unforged": list(self.unforged),
            "unforged_perplexity": _finite(self.unforged_perplexity),
            "false_alarms": Share(sum(detected(p, self.alpha) for p in self.unforged), len(self.unforged)).to_json(),
            "detected_before": Share(sum(detected(p, self.alpha) for p in self.held_out), len(self.held_out)).to_json(),
            "trials": [self._trial_json(trial, private) for trial in self.trials],
        }

    def _trial_json(self, trial: Trial, private: bool) -> dict[str, Any]:
        content: dict[str, Any] = {
            "attack": trial.attack,
            "budget": trial.budget,
            "called": trial.called,
            "correct": trial.correct,
            "precision": trial.precision.to_json(),
            "estimated_precision": trial.estimated_precision,
            "seconds": trial.seconds,
            "details": dict(trial.details),
            "failed": trial.failed,
            "scrubbed": list(trial.scrubbed),
            "blind": list(trial.blind),
            "edits": list(trial.edits),
            "scrubbed_perplexity": _finite(trial.scrubbed_perplexity),
            "spoofed": list(trial.spoofed),
            "spoofed_perplexity": _finite(trial.spoofed_perplexity),
            "scrub": trial.scrub(self.held_out, self.alpha).to_json(),
            "scrub_control": trial.scrub_control(self.held_out, self.alpha).to_json(),
            "spoof": trial.spoof(self.alpha).to_json(),
        }
        if private and trial.calls is not None:
            content["calls"] = [[token, int(green)] for token, green in trial.calls]
        return content

    @classmethod
    def from_json(cls, content: Any) -> StealingReport:
        """Read what `to_json` wrote, either form, and recount it. Raises AttackError where it is malformed or does not add up."""
        if not isinstance(content, Mapping) or content.get("format") != FORMAT:
            raise AttackError(f"not a stealing report of format {FORMAT}")
        trials = content.get("trials")
        if not isinstance(trials, list) or len(trials) > MAX_TRIALS:
            raise AttackError(f"trials of the stealing report must be a list of at most {MAX_TRIALS}")
        report = cls(
            label=_text(content, "label"),
            scheme=_text(content, "scheme"),
            dialect=_text(content, "dialect"),
            alpha=_number(content, "alpha", 0.0, 1.0),
            green_share=_number(content, "green_share", 0.0, 1.0),
            settings=_object(content, "settings"),
            held_out=_p_values(content, "held_out"),
            held_out_perplexity=_perplexities(content, "held_out_perplexity"),
            unforged=_p_values(content, "unforged"),
            unforged_perplexity=_perplexities(content, "unforged_perplexity"),
            trials=tuple(_read_trial(trial, index) for index, trial in enumerate(trials)),
        )
        report.recount(content)
        return report

    def recount(self, content: Mapping[str, Any]) -> None:
        """Compare every figure of `content` with what follows from the values it keeps. Raises AttackError at the first
        mismatch."""
        held_out = len(self.held_out)
        for index, trial in enumerate(self.trials):
            for name, values in (("scrubbed", trial.scrubbed), ("blind", trial.blind), ("edits", trial.edits)):
                if len(values) not in (0, held_out):
                    raise AttackError(f"trials[{index}].{name} has not one value for each of the {held_out} held-out texts")
            if trial.calls is not None and (len(trial.calls), sum(green for _, green in trial.calls)) != (
                trial.called,
                trial.correct,
            ):
                raise AttackError(f"trials[{index}].called and correct do not follow from its calls")
        expected = self.to_json(private=content.get("private") is True)
        for name, own in expected.items():
            if name != "trials" and not _same(own, content.get(name)):
                raise AttackError(f"{name} of the stealing report does not follow from the values it keeps")
        for index, (own, given) in enumerate(zip(expected["trials"], content["trials"])):
            for name, value in own.items():
                if not _same(value, given.get(name)):
                    raise AttackError(f"trials[{index}].{name} of the stealing report does not follow from the values it keeps")


def _finite(values: Sequence[float]) -> list[float | str]:
    return [value if math.isfinite(value) else "Infinity" for value in values]


def _text(content: Mapping[str, Any], name: str) -> str:
    value = content.get(name)
    if not isinstance(value, str) or len(value) > 1000:
        raise AttackError(f"{name} of the stealing report must be a string of at most 1000 characters")
    return value


def _object(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = content.get(name)
    if not isinstance(value, Mapping):
        raise AttackError(f"{name} of the stealing report must be an object")
    return dict(value)


def _number(content: Mapping[str, Any], name: str, low: float, high: float) -> float:
    value = content.get(name)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not low <= value <= high:
        raise AttackError(f"{name} of the stealing report must be a number from {low:g} to {high:g}")
    return float(value)


def _count(content: Mapping[str, Any], name: str) -> int:
    value = content.get(name)
    if type(value) is not int or not 0 <= value <= MAX_VALUES:
        raise AttackError(f"{name} of the stealing report must be an integer from 0 to {MAX_VALUES}")
    return value


def _list(content: Mapping[str, Any], name: str) -> list[Any]:
    value = content.get(name)
    if not isinstance(value, list) or len(value) > MAX_VALUES:
        raise AttackError(f"{name} of the stealing report must be a list of at most {MAX_VALUES} values")
    return value


def _p_values(content: Mapping[str, Any], name: str) -> tuple[LogP, ...]:
    values = _list(content, name)
    for value in values:
        if value is not None and (type(value) not in (int, float) or not -math.inf < value <= 0):
            raise AttackError(f"{name} of the stealing report: {str(value)[:40]!r} is not the logarithm of a p-value")
    return tuple(values)


def _perplexities(content: Mapping[str, Any], name: str) -> tuple[float, ...]:
    values = [math.inf if value == "Infinity" else value for value in _list(content, name)]
    for value in values:
        if type(value) not in (int, float) or not value >= 1 - _SLACK:
            raise AttackError(f"{name} of the stealing report: {str(value)[:40]!r} is not a perplexity")
    return tuple(float(value) for value in values)


def _read_trial(content: Any, index: int) -> Trial:
    if not isinstance(content, Mapping):
        raise AttackError(f"trials[{index}] of the stealing report must be an object")
    called, correct = _count(content, "called"), _count(content, "correct")
    if correct > called:
        raise AttackError(f"trials[{index}] of the stealing report has more correct calls than calls")
    calls = None
    if "calls" in content:
        for call in _list(content, "calls"):
            if not isinstance(call, list) or len(call) != 2 or type(call[0]) is not int or call[0] < 0 or call[1] not in (0, 1):
                raise AttackError(f"trials[{index}].calls of the stealing report must hold pairs of a token and 0 or 1")
        calls = tuple((token, bool(green)) for token, green in content["calls"])
    estimate, failed = content.get("estimated_precision"), content.get("failed")
    if failed is not None:
        failed = _text(content, "failed")
    return Trial(
        attack=_text(content, "attack"),
        budget=_count(content, "budget"),
        called=called,
        correct=correct,
        seconds=_number(content, "seconds", 0.0, 1e9),
        estimated_precision=None if estimate is None else _number(content, "estimated_precision", 0.0, 1.0),
        details=_object(content, "details"),
        scrubbed=_p_values(content, "scrubbed"),
        blind=_p_values(content, "blind"),
        edits=tuple(_count({"edits": value}, "edits") for value in _list(content, "edits")),
        scrubbed_perplexity=_perplexities(content, "scrubbed_perplexity"),
        spoofed=_p_values(content, "spoofed"),
        spoofed_perplexity=_perplexities(content, "spoofed_perplexity"),
        calls=calls,
        failed=failed,
    )


def _same(own: Any, given: Any) -> bool:
    """Equal, floats to 1e-9 (intervals come from another machine's logarithms)."""
    if isinstance(own, (list, tuple)):
        return isinstance(given, list) and len(own) == len(given) and all(map(_same, own, given))
    if isinstance(own, Mapping):
        return isinstance(given, Mapping) and own.keys() == given.keys() and all(_same(own[key], given[key]) for key in own)
    if isinstance(own, float):
        return type(given) in (int, float) and math.isclose(own, given, rel_tol=1e-9, abs_tol=1e-9)
    return type(own) is type(given) and bool(own == given)

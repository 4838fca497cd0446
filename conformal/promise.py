"""The promise of a certificate: statement, level, mode and rule, and the thresholds they give to a list of conformity scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

from conformal.documents import coverage_interval, float_text, parse_fraction, smallest_level, smallest_sample
from conformal.errors import CertificateError, GuaranteeError
from conformal.labels import LabelPolicy
from conformal.levels import marginal_rank, pac_rank
from conformal.losses import AtMostFalse, Comparator, FractionTrue, Loss

MAX_NAME_CHARS = 200
MAX_SAMPLE = 10**9
LEAST_LEVEL = Fraction(1, 100_000)


@dataclass(frozen=True)
class Promise:
    """`delta` set: PAC mode. `by_group`: a threshold of its own for every group, which abstains below `minimum_n` outputs."""

    score: str
    loss: Loss
    policy: LabelPolicy
    alpha: Fraction
    delta: Fraction | None
    by_group: bool
    minimum_n: int
    comparator: Comparator
    closed: bool

    def to_json(self) -> dict[str, Any]:
        return {
            "score": self.score,
            "loss": describe_loss(self.loss),
            "label_policy": self.policy.to_json(),
            "alpha": str(self.alpha),
            "mode": "marginal" if self.delta is None else "pac",
            "delta": None if self.delta is None else str(self.delta),
            "by_group": self.by_group,
            "minimum_n": self.minimum_n,
            "keep_if": f"score {self.comparator} threshold",
            "premise_closure": self.closed,
        }

    @classmethod
    def parse(cls, value: Any) -> Promise:
        """Raises CertificateError. Members beyond those of `to_json` are found by whoever compares with it."""
        if not isinstance(value, dict):
            raise CertificateError("the promise must be an object")
        policy, rule = value.get("label_policy"), value.get("keep_if")
        shaped = isinstance(policy, dict) and set(policy) == {"subjective", "unverifiable"}
        if not shaped or any(type(answer) is not bool for answer in policy.values()):  # type: ignore[union-attr]
            raise CertificateError("the label policy must say yes or no for subjective and unverifiable claims")
        if rule not in ("score > threshold", "score >= threshold"):
            raise CertificateError("keep_if must be 'score > threshold' or 'score >= threshold'")
        if type(value.get("by_group")) is not bool or type(value.get("premise_closure")) is not bool:
            raise CertificateError("by_group and premise_closure must be true or false")
        delta = value.get("delta")
        return cls(
            score=parse_name(value.get("score"), "the score"),
            loss=parse_loss(value.get("loss")),
            policy=LabelPolicy(**policy),  # type: ignore[arg-type]
            alpha=parse_level_text(value.get("alpha"), "alpha"),
            delta=None if delta is None else parse_level_text(delta, "delta"),
            by_group=value["by_group"],
            minimum_n=_parse_count(value.get("minimum_n"), "minimum_n", 1),
            comparator=">" if rule == "score > threshold" else ">=",
            closed=value["premise_closure"],
        )

    @property
    def least_n(self) -> int:
        """The least n for which a threshold exists."""
        return smallest_sample(self.alpha, self.delta)

    def rank(self, n: int) -> int | None:
        """The rank among n outputs; None: abstain."""
        if n < self.minimum_n:
            return None
        return marginal_rank(n, self.alpha) if self.delta is None else pac_rank(n, self.alpha, self.delta)


@dataclass(frozen=True)
class GroupThreshold:
    """The threshold for the outputs of one group (None: all). `rank` None: every output abstains and `value` is +Infinity.

    `neighbours`: the next lower and higher order statistic. Whatever becomes of the labels of one output, the threshold stays
    between them.
    """

    group: str | None
    n: int
    rank: int | None
    value: float
    interval: tuple[str, str]
    minimum_alpha: str
    neighbours: tuple[float, float]

    @property
    def abstains(self) -> bool:
        return self.rank is None

    def to_json(self) -> dict[str, Any]:
        return {
            "group": self.group,
            "n": self.n,
            "rank": self.rank,
            "threshold": float_text(self.value),
            "abstains_always": self.abstains,
            "coverage_interval_95": list(self.interval),
            "expected_coverage": "1" if self.rank is None else str(Fraction(self.rank, self.n + 1)),
            "minimum_alpha": self.minimum_alpha,
            "threshold_if_one_output_is_relabelled": [float_text(value) for value in self.neighbours],
        }


def find_group_threshold(promise: Promise, group: str | None, conformity: Sequence[float]) -> GroupThreshold:
    """The rank-th smallest conformity score. Raises GuaranteeError where ties make the rule invalid."""
    ordered, n = sorted(conformity), len(conformity)
    if promise.comparator == ">=" and any(a == b and a != float("-inf") for a, b in pairwise(ordered)):
        raise GuaranteeError('two outputs have the same conformity score; "keep score >= threshold" is not valid under ties')
    rank, minimum = promise.rank(n), smallest_level(n, promise.delta)
    if rank is None:
        infinity = float("inf")
        return GroupThreshold(group, n, None, infinity, ("1.000000000", "1.000000000"), minimum, (infinity, infinity))
    low = ordered[rank - 2] if rank > 1 else float("-inf")
    high = ordered[rank] if rank < n else float("inf")
    return GroupThreshold(group, n, rank, ordered[rank - 1], coverage_interval(rank, n), minimum, (low, high))


def describe_loss(loss: Loss) -> dict[str, Any]:
    """The loss as a document. Raises GuaranteeError for one that certificates do not know."""
    if isinstance(loss, AtMostFalse):
        return {"kind": "at-most-false", "allowed": loss.allowed}
    if isinstance(loss, FractionTrue):
        return {"kind": "fraction-true", "least": str(loss.least)}
    raise GuaranteeError(f"a certificate cannot be issued for the loss {loss.name}: replay knows none of its rules")


def parse_loss(value: Any) -> Loss:
    """Inverse of `describe_loss`. Raises CertificateError."""
    if isinstance(value, dict) and set(value) == {"kind", "allowed"} and value["kind"] == "at-most-false":
        return AtMostFalse(_parse_count(value["allowed"], "the number of false claims allowed", 0))
    if isinstance(value, dict) and set(value) == {"kind", "least"} and value["kind"] == "fraction-true":
        return FractionTrue(Fraction(1) if value["least"] == "1" else parse_fraction(value["least"], "the fraction"))
    raise CertificateError("the loss must be at-most-false with a number allowed, or fraction-true with a least fraction")


def parse_level_text(text: Any, what: str) -> Fraction:
    """A level of at least LEAST_LEVEL. Raises CertificateError."""
    level = parse_fraction(text, what)
    if level < LEAST_LEVEL:
        raise CertificateError(f"{what} must be at least {LEAST_LEVEL}, not {level}")
    return level


def parse_name(value: Any, what: str) -> str:
    """A text of 1 to MAX_NAME_CHARS printable characters. Raises CertificateError."""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_NAME_CHARS or not value.isprintable():
        raise CertificateError(f"{what} must be a text of 1 to {MAX_NAME_CHARS} printable characters")
    return value


def _parse_count(value: Any, what: str, least: int) -> int:
    if type(value) is not int or not least <= value <= MAX_SAMPLE:
        raise CertificateError(f"{what} must be a whole number from {least} to {MAX_SAMPLE}")
    return value

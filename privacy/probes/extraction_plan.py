"""What an extraction audit will do, fixed before the model is asked, and refused where it could show nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

from privacy.errors import PlanError, ScoreError
from privacy.membership.records import Role
from privacy.probes.model import Decoding
from privacy.probes.plan import MAX_EXPONENT
from privacy.statistics.binomial import check_level
from privacy.statistics.planning import decoys_needed

CRITERIA = ("greedy", "discoverable")
ASSIGNMENTS = ("coins", "declared")
MAX_TOKENS, MAX_SAMPLES = 10_000, 1000
ASKED = (Role.MEMBER, Role.CANDIDATE)


@dataclass(frozen=True)
class ExtractionPlan:
    """`prefix_tokens` of a record are the prompt, the `suffix_tokens` after them are what is to be produced, word for word.

    `criterion`: what counts as extracted in the verdict: `greedy` (the likeliest continuation, token by token, is the suffix), or
    `discoverable` ((n, p)-discoverable extraction, Hayes et al., arXiv 2410.19482: with `samples_exponent` e, the suffix appears
    among n = 10^e answers with probability at least `probability`). `temperature`, `top_p`, `top_k`: how answers are drawn, part
    of the definition. `samples`: how many are really drawn for each record. `assignment`: `coins` where the auditor decided by
    independent coins which records were trained on, `declared` where somebody says so. `errors`: budgets of wrong guesses at
    which guesses, ordered by confidence, are counted. `strength`: extraction strength too, which asks for every token.
    """

    prefix_tokens: int = 50
    suffix_tokens: int = 50
    criterion: str = "greedy"
    assignment: str = "declared"
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    samples: int = 0
    probability: float = 0.5
    samples_exponent: int = 2
    queries: tuple[int, ...] = (0, 1, 2, 3, 4, 6)
    errors: tuple[int, ...] = (0, 10, 100)
    strength: bool = True
    alpha: float = 0.05
    seed: int = field(default=0, repr=False)

    def __post_init__(self) -> None:
        """Raises PlanError."""
        for low, value, high, what in (
            (1, self.prefix_tokens, MAX_TOKENS, "tokens of a prefix"),
            (1, self.suffix_tokens, MAX_TOKENS, "tokens of a suffix"),
            (0, self.samples, MAX_SAMPLES, "samples of a record"),
            (0, self.samples_exponent, MAX_EXPONENT, "as the exponent of a number of samples"),
        ):
            if type(value) is not int or not low <= value <= high:
                raise PlanError(f"an extraction plan has {low} to {high} {what}")
        if self.criterion not in CRITERIA or self.assignment not in ASSIGNMENTS:
            raise PlanError(f"the criterion is one of {', '.join(CRITERIA)}, the assignment one of {', '.join(ASSIGNMENTS)}")
        check_level(self.probability, "probability")
        check_level(self.alpha, "alpha")
        for name, values, most in (("queries", self.queries, MAX_EXPONENT), ("errors", self.errors, 1_000_000)):
            rising = all(a < b for a, b in pairwise(values))
            if not 1 <= len(values) <= 16 or not rising or not all(type(v) is int and 0 <= v <= most for v in values):
                raise PlanError(f"{name} are 1 to 16 whole numbers from 0 to {most}, rising")

    @property
    def decoding(self) -> Decoding:
        return Decoding(self.suffix_tokens, self.temperature, self.top_p, self.top_k, self.seed)

    def check_counts(self, asked: int, controls: int) -> None:
        """Raises PlanError where so many records and controls could show nothing."""
        if asked < 1:
            raise PlanError("there is no record to extract that is long enough for prefix and suffix")
        needed = decoys_needed(self.alpha)
        if controls < needed:
            raise PlanError(
                f"{controls} controls are too few at level {self.alpha:g}: {needed} records that the model was not trained on"
                " are needed, long enough for prefix and suffix; without them, predictable text could not be told from memory"
            )

    def to_json(self) -> dict[str, Any]:
        """All but the seed."""
        own = {name: value for name, value in asdict(self).items() if name != "seed"}
        return {**own, "queries": list(self.queries), "errors": list(self.errors)}

    @classmethod
    def from_json(cls, content: Any) -> ExtractionPlan:
        """Raises ScoreError, PlanError."""
        names = set(cls.__dataclass_fields__) - {"seed"}
        if not isinstance(content, Mapping) or set(content) != names:
            raise ScoreError(f"an extraction plan has the members {', '.join(sorted(names))}")
        default = cls().to_json()
        for name, value in content.items():
            wanted = float if type(value) is int and isinstance(default[name], float) else type(value)
            if wanted is not type(default[name]) or (isinstance(value, float) and not math.isfinite(value)):
                raise ScoreError(f"{name} of the extraction plan is of the wrong kind")
        lists = {name: tuple(content[name]) for name in ("queries", "errors")}
        return cls(**{**content, **lists})

"""The programmes of `integer_program` as matrices, for HiGHS: a column for each colour, then bounds and flags of texts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from watermark.attacks.stealing.items import ItemTexts
from watermark.attacks.stealing.program_settings import Answers, ProgramSettings, critical_counts
from watermark.attacks.stealing.zipf import Ints
from watermark.errors import AttackError

Floats = npt.NDArray[np.float64]
# The price of one green item too few or too many in a text; a real token costs about 1.
ELASTIC = 100.0
MAX_NON_ZEROS = 50_000_000


class ColourProgramme:
    """The columns (items seen in texts called marked), their costs, the two incidence matrices and the four settings."""

    def __init__(self, texts: ItemTexts, num_lists: int, settings: ProgramSettings, answers: Answers | None) -> None:
        self.settings = settings
        self.log: dict[str, Any] = {"status": [], "gap": [], "violation": 0.0}
        texts, self._green = _relabelled(texts, answers, settings.setting)
        f_w, f_l = texts.counts()
        # an item never seen in marked texts has a cost and no use: its colour is 0 in every optimum
        self.columns = np.flatnonzero(f_w > 0)
        self.marked, self.natural = texts.matrices(self.columns)
        if self.marked.nnz + self.natural.nnz > MAX_NON_ZEROS:
            raise AttackError(f"the programme has more than {MAX_NON_ZEROS} non-zeros; take fewer or shorter texts")
        self.lengths = texts.lengths()
        seen, natural = f_w[self.columns], f_l[self.columns]
        rates = (natural / max(1, int(np.count_nonzero(f_l)))) / (seen / max(1, len(self.columns)))
        self.costs = np.where(natural > 0, rates, 1.0)
        if settings.token_costs is not None:
            per_item = np.tile(np.asarray(settings.token_costs, dtype=np.float64), num_lists)
            if per_item.shape != (texts.num_items,) or not np.isfinite(per_item).all() or per_item.min() <= 0:
                raise AttackError("token_costs holds one positive number a token of the vocabulary")
            self.costs *= per_item[self.columns]
        # what both means weigh: the net number of greens an item adds to an average pair of texts
        self.net = seen / len(texts.marked) - natural / len(texts.natural)
        self.num_lists, self.vocab_size = num_lists, texts.num_items // num_lists

    def vanilla(self) -> Floats:
        bounds = [critical_counts(lengths, self.settings.gamma, self.settings.alpha) for lengths in self.lengths]
        return self._bounded(bounds[0], bounds[1] - 1, [])

    def oracle(self) -> Floats:
        if self._green is None:
            raise AttackError("oracle-as1 needs the detector's green counts of every text")
        return self._bounded(*self._green, [])

    def pro(self) -> Floats:
        low, high = (critical_counts(lengths, self.settings.gamma, self.settings.alpha) for lengths in self.lengths)
        excess = self._excess(low, high - 1)
        mean_green = self.settings.gamma * self.lengths[1]
        natural_bound = float(np.maximum(self.natural @ excess, mean_green).sum())
        return self._bounded(low, high - 1, self._stage_two(float((self.marked @ excess).sum()), natural_bound))

    def blind(self) -> Floats:
        if self.settings.flags is not None:
            return self._flagged(*self.settings.flags)
        best = (self.net > 0).astype(np.float64)  # the optimum of stage 1 where every text counts
        rows = self._stage_two(float((self.marked @ best).sum()), float((self.natural @ best).sum()))
        return self._solve(self.costs, *_stacked(rows))

    def _bounded(self, low: Ints, high: Ints, rows: list[Any]) -> Floats:
        """Cheapest colours with at least `low` greens in marked and at most `high` in natural texts, elastically."""
        from scipy import sparse

        m, n = len(low), len(high)
        matrix = sparse.vstack(
            [
                sparse.hstack([-self.marked, -sparse.eye(m), sparse.csr_matrix((m, n))]),
                sparse.hstack([self.natural, sparse.csr_matrix((n, m)), -sparse.eye(n)]),
                *[sparse.hstack([row, sparse.csr_matrix((1, m + n))]) for row, _ in [*self._sizes(), *rows]],
            ]
        ).tocsr()
        limits = np.concatenate([-low, high, [limit for _, limit in [*self._sizes(), *rows]]])
        return self._solve(np.concatenate([self.costs, np.full(m + n, ELASTIC)]), matrix, limits, elastic=m + n)

    def _excess(self, low: Ints, high: Ints) -> Floats:
        """Stage 1 of pro-as1: mean green count of marked texts minus mean excess of natural ones over gamma, maximal."""
        from scipy import sparse

        m, n = len(low), len(high)
        natural_gain = sparse.hstack([self.natural, sparse.csr_matrix((n, m + n)), -sparse.eye(n)])
        matrix = sparse.vstack(
            [
                sparse.hstack([-self.marked, -sparse.eye(m), sparse.csr_matrix((m, 2 * n))]),
                sparse.hstack([self.natural, sparse.csr_matrix((n, m)), -sparse.eye(n), sparse.csr_matrix((n, n))]),
                natural_gain,
                *[sparse.hstack([row, sparse.csr_matrix((1, m + 2 * n))]) for row, _ in self._sizes()],
            ]
        ).tocsr()
        gamma = self.settings.gamma
        limits = np.concatenate([-low, high, gamma * self.lengths[1], [limit for _, limit in self._sizes()]])
        gains = -np.asarray(self.marked.sum(axis=0)).ravel() / m
        costs = np.concatenate([gains, np.full(m + n, ELASTIC), np.full(n, 1 / n)])
        return self._solve(costs, matrix, limits, elastic=m + n, free=n)

    def _stage_two(self, marked_sum: float, natural_sum: float) -> list[Any]:
        """The two rows that keep stage 2 near stage 1."""
        from scipy import sparse

        return [
            (-sparse.csr_matrix(self.marked.sum(axis=0)), -self.settings.marked_slack * marked_sum),
            (sparse.csr_matrix(self.natural.sum(axis=0)), self.settings.natural_slack * natural_sum),
        ]

    def _sizes(self) -> list[Any]:
        """At most gamma V greens in each list."""
        from scipy import sparse

        which = self.columns // self.vocab_size
        limit = self.settings.gamma * self.vocab_size
        return [(sparse.csr_matrix((which == k).astype(np.float64)), limit) for k in range(self.num_lists)]

    def _flagged(self, low: float, high: float) -> Floats:
        """as2 with a bound and a flag for every text: a dropped one (flag 0) bounds nothing and counts nothing."""
        from scipy import sparse

        m, n, t = self.marked.shape[0], self.natural.shape[0], len(self.columns)
        eye_m, eye_n, zero = sparse.eye(m), sparse.eye(n), sparse.csr_matrix
        wide_m, wide_n = (sparse.diags(2.0 * lengths) for lengths in self.lengths)
        blocks = [  # columns: colours, marked bounds, natural bounds, marked flags, natural flags
            [-self.marked, eye_m, zero((m, n)), wide_m, zero((m, n))],
            [zero((m, t)), eye_m, zero((m, n)), -0.5 * wide_m, zero((m, n))],
            [self.natural, zero((n, m)), -eye_n, zero((n, m)), wide_n],
        ]
        kept_m = sparse.hstack([zero((1, t + m + n)), np.ones((1, m)), zero((1, n))])
        kept_n = sparse.hstack([zero((1, t + m + n + m)), np.ones((1, n))])
        rows = [sparse.hstack(block) for block in blocks] + [kept_m, -kept_m, kept_n, -kept_n]
        limits: list[Any] = [2.0 * self.lengths[0], np.zeros(m), 2.0 * self.lengths[1], [high * m, -low * m, high * n, -low * n]]
        gains = np.concatenate([np.zeros(t), np.full(m, -1 / m), np.full(n, 1 / n), np.zeros(m + n)])
        found = self._solve(gains, sparse.vstack(rows).tocsr(), np.concatenate(limits), free=m + n, binary=m + n, whole=True)
        sums = [float(found[t : t + m].sum()), float(found[t + m : t + m + n].sum())]
        slack = self.settings
        rows += [
            sparse.hstack([zero((1, t)), -np.ones((1, m)), zero((1, n + m + n))]),
            sparse.hstack([zero((1, t + m)), np.ones((1, n)), zero((1, m + n))]),
        ]
        limits.append([-slack.marked_slack * sums[0], slack.natural_slack * sums[1]])
        costs = np.concatenate([self.costs, np.zeros(2 * (m + n))])
        return self._solve(costs, sparse.vstack(rows).tocsr(), np.concatenate(limits), free=m + n, binary=m + n)

    def _solve(
        self, costs: Floats, matrix: Any, limits: Floats, elastic: int = 0, free: int = 0, binary: int = 0, whole: bool = False
    ) -> Floats:
        """Minimise costs x subject to matrix x <= limits. Columns: colours in [0, 1], `elastic` and `free` ones from 0, `binary`
        flags in [0, 1]. Gives the colours, or with `whole` all of x."""
        count = len(self.columns)
        upper = np.concatenate([np.ones(count), np.full(elastic + free, np.inf), np.ones(binary)])
        answer = (self._branch if self.settings.integral else self._relax)(costs, matrix, limits, upper, len(upper) - binary)
        if answer.x is None:
            raise AttackError(f"the solver found no lists: {answer.message}; give it more time or fewer texts")
        self.log["status"].append("optimal" if answer.status == 0 else "time limit")
        gap = getattr(answer, "mip_gap", None)
        self.log["gap"].append(float(gap) if gap is not None and math.isfinite(gap) else 0.0)
        self.log["violation"] = float(answer.x[count : count + elastic].sum())
        return np.asarray(answer.x if whole else answer.x[:count])

    def _relax(self, costs: Floats, matrix: Any, limits: Floats, upper: Floats, flags: int) -> Any:
        """The linear programme, by interior points: on the tight bounds of oracle-as1 the simplex takes 50 times longer."""
        from scipy.optimize import linprog

        bounds = np.stack([np.zeros(len(upper)), upper], axis=1)
        options = {"time_limit": self.settings.time_limit}
        return linprog(costs, A_ub=matrix, b_ub=limits, bounds=bounds, method="highs-ipm", options=options)

    def _branch(self, costs: Floats, matrix: Any, limits: Floats, upper: Floats, flags: int) -> Any:
        """The same with whole colours and flags."""
        from scipy.optimize import Bounds, LinearConstraint, milp

        whole = np.zeros(len(upper))
        whole[: len(self.columns)] = whole[flags:] = 1
        return milp(
            costs,
            integrality=whole,
            bounds=Bounds(0.0, upper),
            constraints=LinearConstraint(matrix, -np.inf, limits),
            options={"time_limit": self.settings.time_limit, "mip_rel_gap": self.settings.gap},
        )


def _stacked(rows: list[Any]) -> tuple[Any, Floats]:
    from scipy import sparse

    return sparse.vstack([row for row, _ in rows]).tocsr(), np.array([limit for _, limit in rows])


def _relabelled(texts: ItemTexts, answers: Answers | None, setting: str) -> tuple[ItemTexts, tuple[Ints, Ints] | None]:
    """The texts sorted by the detector's verdicts, and its green counts in the same order. as2 never looks at answers."""
    if answers is None or setting == "as2":
        return texts, None
    given = [*texts.marked, *texts.natural]
    verdicts = np.concatenate([answers.marked, answers.natural])
    if len(verdicts) != len(given) or not verdicts.any() or verdicts.all():
        raise AttackError("the detector's answers must cover every text, some marked and some not")
    order = [np.flatnonzero(verdicts), np.flatnonzero(~verdicts)]
    sorted_texts = ItemTexts(tuple(given[i] for i in order[0]), tuple(given[i] for i in order[1]), texts.num_items)
    if answers.marked_green is None or answers.natural_green is None:
        return sorted_texts, None
    greens = np.concatenate([answers.marked_green, answers.natural_green])
    return sorted_texts, (greens[order[0]], greens[order[1]])

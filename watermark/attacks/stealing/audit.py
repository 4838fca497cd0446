"""The stealing audit: how much of a green list leaks to each attack at each budget of texts, and what an attacker does with
it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from watermark.attacks.protocol import Tokens, check_rate
from watermark.attacks.stealing.items import ListClasses
from watermark.attacks.stealing.program_settings import DEFAULT_TIME_LIMIT, Answers
from watermark.attacks.stealing.protocol import Alternatives, NextLogits, Stolen
from watermark.attacks.stealing.registry import Loot, find_attack
from watermark.attacks.stealing.report import MAX_CALLS, LogP, StealingReport, Trial, detected
from watermark.attacks.stealing.scrub import scrub, scrub_blindly
from watermark.attacks.stealing.spoof import DEFAULT_STRENGTH, spoof
from watermark.attacks.stealing.truth import draw_contexts, rule_of, score_calls, vocabulary_of
from watermark.attacks.stealing.writing import model_alternatives, perplexity
from watermark.detection import MIN_SCORED, Detection, DetectOptions
from watermark.errors import AttackError, CancelledError
from watermark.families import Scheme, as_tokens
from watermark.schemes.unigram import UnigramScheme

DEFAULT_ATTACKS = ("mip-vanilla", "counts-2", "counts-3", "n-grams")
DEFAULT_BUDGETS = (300, 1000, 3000)
MAX_BUDGET = 100_000
MAX_JUDGED = 10_000
PROMPT_LENGTH = 8
_LN10 = float(np.log(10))

Progress = Callable[[float, str], None]
Source = Sequence[Tokens] | Callable[[int], Sequence[Tokens]]


@dataclass(frozen=True)
class StealingExperiment:
    """What to run. Budgets are numbers of marked texts; the attacker has as many natural ones. `judged` texts of each kind are
    held out to scrub, and to take prompts from. `next_logits` is the attacker's own, unmarked model: without it nothing is
    spoofed and there is no perplexity. `alternatives` (default: the model's first tokens) say what may replace a token; without
    either nothing is scrubbed. `spoof_tokens` is the length of a spoofed text; default: the median length of the held-out
    marked ones. `contexts`: after how many contexts the calls of context-dependent attacks are judged.
    """

    label: str
    attacks: Sequence[str] = DEFAULT_ATTACKS
    budgets: Sequence[int] = DEFAULT_BUDGETS
    judged: int = 50
    next_logits: NextLogits | None = field(default=None, repr=False)
    alternatives: Alternatives | None = field(default=None, repr=False)
    spoof_tokens: int | None = None
    strength: float = DEFAULT_STRENGTH
    max_edit_rate: float = 1.0
    contexts: int = 200
    time_limit: float = DEFAULT_TIME_LIMIT
    options: DetectOptions = DetectOptions()  # noqa: RUF009 (frozen)
    seed: int = 0

    def checked(self) -> StealingExperiment:
        """Itself with rising budgets, or AttackError."""
        for name in self.attacks:
            find_attack(name)
        if not self.attacks or len(set(self.attacks)) < len(self.attacks):
            raise AttackError("a stealing audit wants at least one attack, each once")
        if not self.budgets or any(type(budget) is not int or not 1 <= budget <= MAX_BUDGET for budget in self.budgets):
            raise AttackError(f"a stealing audit wants budgets of 1 to {MAX_BUDGET} texts")
        if type(self.judged) is not int or not 1 <= self.judged <= MAX_JUDGED or not 1 <= self.contexts <= MAX_JUDGED:
            raise AttackError(f"a stealing audit judges 1 to {MAX_JUDGED} texts and contexts")
        if type(self.seed) is not int or self.seed < 0:
            raise AttackError("the seed of a stealing audit is an integer of 0 or more")
        check_rate(self.max_edit_rate)
        alternatives = self.alternatives
        if alternatives is None and self.next_logits is not None:
            alternatives = model_alternatives(self.next_logits)
        return replace(self, budgets=tuple(sorted(set(self.budgets))), alternatives=alternatives)


def run_stealing(
    marked: Source,
    natural: Source,
    scheme: Scheme,
    experiment: StealingExperiment,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> StealingReport:
    """Steal with every attack at every budget, then scrub and spoof with what was stolen, judged by the scheme itself.

    Sources are texts, or functions that answer so many texts. An attack that fails (a solver out of time) is a trial with
    `failed` set. Raises AttackError (no green-list scheme, too few texts, bad settings), TokenError, CancelledError.
    """
    experiment = experiment.checked()
    run = _Run(marked, natural, scheme, experiment, cancelled)
    plan = [(attack, budget) for budget in experiment.budgets for attack in experiment.attacks]
    trials = []
    for done, (attack, budget) in enumerate(plan):
        if progress is not None:
            progress(done / len(plan), f"{attack} with {budget} texts")
        trials.append(run.trial(attack, budget))
    if progress is not None:
        progress(1.0, "done")
    return run.report(tuple(trials))


class _Run:
    """The texts, the key's own knowledge of them, and one method a step."""

    def __init__(
        self,
        marked: Source,
        natural: Source,
        scheme: Scheme,
        experiment: StealingExperiment,
        cancelled: Callable[[], bool] | None,
    ) -> None:
        self._scheme, self._experiment, self._cancelled = scheme, experiment, cancelled
        self._rule = rule_of(scheme)
        self._vocab_size, self._share = vocabulary_of(scheme)
        need = experiment.budgets[-1] + experiment.judged
        self._marked = self._texts(marked, need, "marked")
        self._natural = self._texts(natural, need, "natural")
        self._held_out = self._marked[-experiment.judged :]
        held_natural = self._natural[-experiment.judged :]
        self._contexts = draw_contexts(held_natural, self._rule.context_width + 1, experiment.contexts, self._rng("contexts"))
        self._prompts = [text[:PROMPT_LENGTH] for text in held_natural]
        self._length = experiment.spoof_tokens or int(np.median([len(text) for text in self._held_out]))
        self._answered: list[tuple[Detection, Detection]] = []
        self._seen = scheme.detect(self._held_out[0], experiment.options)
        self._before = self._judge(self._held_out)
        model = experiment.next_logits
        forged = self._spoof(None, "control")
        self._control = self._judge(forged)
        self._control_perplexity = self._perplexities(forged, self._prompts)
        self._before_perplexity = () if model is None else tuple(perplexity(model, text) for text in self._held_out)

    def _texts(self, source: Source, need: int, kind: str) -> list[Tokens]:
        given = source(need) if callable(source) else source
        if len(given) < need:
            raise AttackError(
                f"the audit needs {need} {kind} texts (the largest budget and those held out), and got {len(given)}"
            )
        texts = [as_tokens(text, self._vocab_size) for text in given[:need]]
        if min(len(text) for text in texts) < 2:
            raise AttackError(f"a {kind} text of fewer than 2 tokens tells nothing; leave it out")
        return texts

    def _rng(self, purpose: str) -> np.random.Generator:
        return np.random.default_rng([self._experiment.seed, *purpose.encode()])

    def _check(self) -> None:
        if self._cancelled is not None and self._cancelled():
            raise CancelledError("the stealing audit was stopped")

    def _judge(self, texts: Sequence[Tokens]) -> tuple[LogP, ...]:
        found: list[LogP] = []
        for text in texts:
            self._check()
            seen = self._scheme.detect(text, self._experiment.options)
            verdict = seen.log_p is not None and seen.num_distinct >= MIN_SCORED
            found.append(min(0.0, seen.log_p / _LN10) if verdict and seen.log_p is not None else None)
        return tuple(found)

    def _answers(self, budget: int) -> Answers:
        """The detector's answers to the first so many texts of both kinds; asked once."""
        for index in range(len(self._answered), budget):
            self._check()
            options = self._experiment.options
            pair = [self._scheme.detect(texts[index], options) for texts in (self._marked, self._natural)]
            self._answered.append((pair[0], pair[1]))
        alpha = self._experiment.options.alpha
        sides = list(zip(*self._answered[:budget]))
        verdicts = [np.array([seen.log_p is not None and detected(seen.log_p / _LN10, alpha) for seen in side]) for side in sides]
        greens = [np.array([int(seen.test.get("green", 0)) for seen in side], dtype=np.int64) for side in sides]
        return Answers(verdicts[0], verdicts[1], greens[0], greens[1])

    def trial(self, attack: str, budget: int) -> Trial:
        self._check()
        settings = self._experiment
        lists = self._scheme.num_keys if isinstance(self._scheme, UnigramScheme) else 1
        loot = Loot(
            marked=self._marked[:budget],
            natural=self._natural[:budget],
            vocab_size=self._vocab_size,
            gamma=self._share,
            alpha=settings.options.alpha,
            classes=ListClasses(lists),
            context_width=self._rule.context_width,
            answers=lambda: self._answers(budget),
            time_limit=settings.time_limit,
        )
        start = time.perf_counter()
        try:
            stolen = find_attack(attack)(loot)
        except AttackError as error:
            return Trial(attack, budget, 0, 0, time.perf_counter() - start, failed=str(error)[:1000])
        seconds = time.perf_counter() - start
        rng = self._rng(f"{attack} {budget}")
        tokens, correct = score_calls(stolen, self._rule, self._contexts, rng)
        if len(tokens) > MAX_CALLS:
            kept = rng.permutation(len(tokens))[:MAX_CALLS]
            tokens, correct = tokens[kept], correct[kept]
        return self._use(
            Trial(
                attack=attack,
                budget=budget,
                called=len(tokens),
                correct=int(correct.sum()),
                seconds=seconds,
                estimated_precision=stolen.estimated_precision,
                details=dict(stolen.details),
                calls=tuple(zip(tokens.tolist(), correct.tolist())),
            ),
            stolen,
        )

    def _use(self, trial: Trial, stolen: Stolen) -> Trial:
        """The trial with what scrubbing and spoofing came to."""
        settings = self._experiment
        if settings.alternatives is not None:
            rng = self._rng(f"{trial.attack} {trial.budget} blind")
            edited = []
            for text in self._held_out:
                self._check()
                edited.append(scrub(text, stolen, settings.alternatives, settings.max_edit_rate))
            blind = [scrub_blindly(text, done.edits, settings.alternatives, rng) for text, done in zip(self._held_out, edited)]
            after = [done.tokens for done in edited]
            trial = replace(
                trial,
                scrubbed=self._judge(after),
                blind=self._judge(blind),
                edits=tuple(done.edits for done in edited),
                scrubbed_perplexity=self._perplexities(after, None),
            )
        forged = self._spoof(stolen, f"{trial.attack} {trial.budget} spoof")
        return replace(trial, spoofed=self._judge(forged), spoofed_perplexity=self._perplexities(forged, self._prompts))

    def _spoof(self, stolen: Stolen | None, purpose: str) -> list[Tokens]:
        settings = self._experiment
        if settings.next_logits is None:
            return []
        rng = self._rng(purpose)
        return spoof(settings.next_logits, stolen, self._prompts, self._length, rng, settings.strength, self._cancelled)

    def _perplexities(self, texts: Sequence[Tokens], prompts: Sequence[Tokens] | None) -> tuple[float, ...]:
        model = self._experiment.next_logits
        if model is None:
            return ()
        before = [None] * len(texts) if prompts is None else prompts
        return tuple(max(1.0, perplexity(model, text, prompt)) for text, prompt in zip(texts, before))

    def report(self, trials: tuple[Trial, ...]) -> StealingReport:
        settings = self._experiment
        said: dict[str, Any] = {
            "attacks": list(settings.attacks),
            "budgets": list(settings.budgets),
            "judged": settings.judged,
            "median_tokens": int(np.median([len(text) for text in self._marked])),
            "spoof_tokens": self._length,
            "strength": settings.strength,
            "max_edit_rate": settings.max_edit_rate,
            "contexts": settings.contexts,
            "context_width": self._rule.context_width,
            "vocab_size": self._vocab_size,
            "seed": settings.seed,
        }
        return StealingReport(
            label=settings.label,
            scheme=self._seen.scheme,
            dialect=self._seen.dialect,
            alpha=settings.options.alpha,
            green_share=self._share,
            settings=said,
            held_out=self._before,
            held_out_perplexity=self._before_perplexity,
            unforged=self._control,
            unforged_perplexity=self._control_perplexity,
            trials=trials,
        )

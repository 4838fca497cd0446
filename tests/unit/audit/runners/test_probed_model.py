"""Runners as privacy probes see them: what is offered, what is refused before anything is scored, and that nothing is quoted."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from audit.errors import CancelledError
from audit.runners.endpoint import Endpoint, Limits, RefusedError
from audit.runners.exchanges import ExchangeLog
from audit.runners.openai_runner import OpenAIRunner
from audit.runners.probed_model import RunnerModel
from audit.runners.protocol import Attestation, Capabilities, CapabilityError, Generation, Prompt, RunnerError, Sampling, Tier
from audit.runners.server import create_app
from privacy.errors import ModelAccessError, ProbeCancelledError
from privacy.probes.model import Access, Decoding, ProbedModel
from tests import tiny_model
from tests.integration import faulty_server as faults
from tests.integration.faulty_server import Fault, served, with_fault
from tests.unit.audit.runners.scripted_server import Answer, Seen, scripted

QUICK = Limits(timeout_s=60, attempts=2, first_pause_s=0.01)
SECRET = "212-555-0142"
CONTEXT = "The phone of Mara Quillfold is"


@contextmanager
def over_http(fault: Fault | None = None) -> Iterator[RunnerModel]:
    app = create_app(tiny_model.runner(), "tiny")
    with served(app if fault is None else with_fault(app, fault)) as root:
        runner = OpenAIRunner(f"{root}/v1", allow_private=True, limits=QUICK, exchanges=ExchangeLog.none())
        try:
            yield RunnerModel(runner)
        finally:
            runner.close()


@pytest.fixture(scope="module")
def local() -> ProbedModel:
    return RunnerModel(tiny_model.runner())


@pytest.fixture(scope="module")
def remote() -> Iterator[RunnerModel]:
    with over_http() as model:
        yield model


def candidates(model: ProbedModel) -> tuple[list[tuple[int, ...]], list[list[tuple[int, ...]]]]:
    return [model.tokenize(CONTEXT), model.tokenize("Call")], [[model.tokenize(" 212"), model.tokenize(" 911 now")], [(5, 6)]]


# ---------------------------------------------------------------- what is offered


def test_a_model_in_process(local: ProbedModel) -> None:
    facts = local.facts()
    assert facts.access is Access.WEIGHTS and facts.top_k == 20 and facts.deterministic and facts.vocab_size
    assert facts.digest == tiny_model.runner().attestation().model_digest
    prompts, tails = candidates(local)
    seen: list[float] = []
    found = local.score_candidates(prompts, tails, lambda share, text: seen.append(share))
    plain = local.score([[*prompts[0], *tails[0][1]]])[0][len(prompts[0]) - 1 :]
    np.testing.assert_allclose(found[0][1], plain, atol=1e-4)
    assert [[len(row) for row in rows] for rows in found] == [[len(tail) for tail in group] for group in tails] and seen[-1] == 1
    listed = local.next_tokens(prompts)
    assert len(listed[0]) == 20 and listed[0][max(listed[0], key=lambda token: listed[0][token])] < 0
    own = dict(listed[0]).get(tails[0][0][0])
    assert own is None or own == pytest.approx(found[0][0][0], abs=1e-4)


def test_the_same_over_http(local: ProbedModel, remote: RunnerModel) -> None:
    assert remote.facts().access is Access.FULL and remote.facts().digest is None
    prompts, tails = candidates(local)
    assert remote.tokenize(CONTEXT) == prompts[0] and remote.detokenize(prompts[0]) == CONTEXT
    for mine, theirs in zip(local.score_candidates(prompts, tails), remote.score_candidates(prompts, tails), strict=True):
        for x, y in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(x, y, atol=1e-3)
    for own, other in zip(local.next_tokens(prompts), remote.next_tokens(prompts), strict=True):
        shared = set(own) & set(other)
        assert len(shared) >= 18 and all(own[token] == pytest.approx(other[token], abs=1e-3) for token in shared)
    assert remote.tokenize_all([CONTEXT, "Call", ""]) == local.tokenize_all([CONTEXT, "Call", ""]) == [*prompts, ()]  # type: ignore[attr-defined]
    greedy = Decoding(6, temperature=0.0)
    assert local.write_tokens(prompts, greedy) == remote.write_tokens(prompts, greedy)
    assert (
        isinstance(remote.runner, OpenAIRunner) and remote.runner.exchanges.read() == b"" and remote.runner.exchanges.count > 20
    )


def test_answers_have_streams_of_their_own(local: ProbedModel) -> None:
    answers = local.write([CONTEXT, CONTEXT], 3, Decoding(8, seed=4))
    assert len({text for row in answers for text in row}) == 6
    assert (
        answers
        == local.write([CONTEXT, CONTEXT], 3, Decoding(8, seed=4))
        != local.write([CONTEXT, CONTEXT], 3, Decoding(8, seed=5))
    )
    assert not any(text.startswith(CONTEXT) for row in answers for text in row)


def test_streams_differ_between_parts(monkeypatch: pytest.MonkeyPatch, local: ProbedModel) -> None:
    monkeypatch.setattr("audit.runners.probed_model.ANSWERS_AT_ONCE", 2)
    assert len(set(local.write([CONTEXT], 6, Decoding(8, seed=4))[0])) == 6


def test_moments_are_those_of_the_distribution(local: ProbedModel, remote: RunnerModel) -> None:
    row = local.tokenize(CONTEXT)
    found = local.token_moments([row, row[:1]])
    logs = tiny_model.runner().next_token_logprobs([row[:2]])[0]
    mean = float((np.exp(logs) * logs).sum())
    assert len(found[0]) == len(row) - 1 and found[1] == ()
    assert found[0][1] == pytest.approx((mean, math.sqrt(float((np.exp(logs) * (logs - mean) ** 2).sum()))), abs=1e-3)
    with pytest.raises(ModelAccessError, match="weights"):
        remote.token_moments([row])


@pytest.mark.parametrize(
    ("fault", "access"),
    [
        (faults.DropsPromptLogprobs(), Access.TOP_K),
        (faults.ReordersBatches(), Access.TOP_K),
        (faults.ReadsIdsAsText(), Access.TEXT),
        (faults.NullLogprobs(), Access.TEXT),
        (faults.Refuses(paths=("/tokenize",)), Access.TEXT),
        (faults.Refuses(paths=("/v1/completions",)), Access.TEXT),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Fault) else "",
)  # fmt: skip
def test_faults_lower_the_access(fault: Fault, access: Access) -> None:
    with over_http(fault) as model:
        assert model.facts().access is access
        if access is not Access.FULL:
            with pytest.raises(ModelAccessError, match="the tier full is needed"):
                model.score_candidates([(1, 2)], [[(3,)]])
        assert len(model.write(["The"], 2, Decoding(3))[0]) == 2


# ---------------------------------------------------------------- the probe of the back end


class Changed:
    """The tiny model in process, without its own candidates' engine, and with one thing changed."""

    def __init__(self, **changes: Any) -> None:
        self._runner, self._changes = tiny_model.runner(), changes
        self.scored: list[Sequence[Sequence[int]]] = []

    def __getattr__(self, name: str) -> Any:
        if name == "score_candidates":
            raise AttributeError(name)
        return self._changes.get(name) or getattr(self._runner, name)

    def score(self, rows: Sequence[Sequence[int]], progress: Any = None, cancelled: Any = None) -> list[tuple[float, ...]]:
        self.scored.append(rows)
        change: Callable[..., Any] = self._changes.get("changed_score", lambda rows, scores: scores)
        found: list[tuple[float, ...]] = change(rows, self._runner.score(rows))
        return found


def with_capabilities(**changes: Any) -> Callable[[], Capabilities]:
    return lambda: replace(tiny_model.runner().capabilities(), **changes)


def test_without_an_engine_candidates_are_scored_one_by_one(local: ProbedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit.runners.probed_model.ROWS_AT_ONCE", 2)
    plain = Changed(capabilities=with_capabilities(tier=Tier.TOKENS))
    prompts, tails = candidates(local)
    found = RunnerModel(plain).score_candidates(prompts, tails)  # type: ignore[arg-type]
    for mine, theirs in zip(local.score_candidates(prompts, tails), found, strict=True):
        for x, y in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(x, y, atol=1e-4)
    assert all(len(rows) <= 2 for rows in plain.scored)


def constant(rows: Sequence[Sequence[int]], scores: Any) -> list[tuple[float, ...]]:
    return [(-7.6,) * (len(row) - 1) for row in rows]


def by_place(rows: Sequence[Sequence[int]], scores: Any) -> list[tuple[float, ...]]:
    return [tuple(one - 0.5 * place for one in logs) for place, logs in enumerate(scores)]


def with_nan(rows: Sequence[Sequence[int]], scores: Any) -> list[tuple[float, ...]]:
    return [(*logs[:-1], math.nan) for logs in scores]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"changed_score": constant}, "no better than chance"),
        ({"changed_score": by_place}, "depend on the order"),
        ({"changed_score": with_nan}, "NaN"),
        ({"changed_score": lambda rows, scores: [logs[1:] for logs in scores]}, "another number"),
        ({"tokenize": lambda text: (1, *tiny_model.runner().tokenize(text))}, "special tokens"),
        ({"tokenize": lambda text: tiny_model.runner().tokenize(text.lower())}, "does not give a text back"),
        ({"tokenize": lambda text: ()}, "no tokens|does not"),
    ],
)  # fmt: skip
def test_a_back_end_that_fails_the_probe_is_refused(changes: dict[str, Any], message: str) -> None:
    runner = Changed(capabilities=with_capabilities(tier=Tier.TOKENS), **changes)
    if "tokenize" in changes and not changes["tokenize"]("a"):
        assert RunnerModel(runner).facts().access is Access.TEXT  # type: ignore[arg-type]
        return
    for _ in range(2):  # it is not forgotten
        with pytest.raises(ModelAccessError, match=message):
            RunnerModel(runner).score_candidates([(1, 2)], [[(3,)]])  # type: ignore[arg-type]
    assert not any([1, 2, 3] in [list(row) for row in rows] for rows in runner.scored), "nothing of the caller's was scored"


def test_listed_tokens_are_probed_too() -> None:
    def same(prompts: Sequence[Prompt], sampling: Sampling, *rest: Any) -> list[Generation]:
        return [Generation("a", (1,), "length", (-0.5,), ({1: -0.5, 2: -1.5},)) for _ in prompts]

    def texts(prompts: Sequence[Prompt], sampling: Sampling, *rest: Any) -> list[Generation]:
        return [Generation("a", (1,), "length", (-0.5,), ({"a": -0.5},)) for _ in prompts]

    def above_one(prompts: Sequence[Prompt], sampling: Sampling, *rest: Any) -> list[Generation]:
        return [Generation("a", (1,), "length", (-0.5,), ({1: -0.1, len(p.token_ids or ()): -0.1},)) for p in prompts]

    capabilities = with_capabilities(tier=Tier.TOP_LOGPROBS, prompt_logprobs=False)
    for generate, message in ((same, "do not depend on the prompt"), (above_one, "above 1 together")):
        model = RunnerModel(Changed(capabilities=capabilities, generate=generate))  # type: ignore[arg-type]
        assert model.facts().access is Access.TOP_K
        with pytest.raises(ModelAccessError, match=message):
            model.next_tokens([(1, 2)])
    assert RunnerModel(Changed(capabilities=capabilities, generate=texts)).facts().access is Access.TEXT  # type: ignore[arg-type]


def test_a_greedy_answer_that_ends_at_once_still_lists_tokens() -> None:
    def generate(prompts: Sequence[Prompt], sampling: Sampling, *rest: Any) -> list[Generation]:
        if sampling.temperature == 0:
            return [Generation("", (), "stop", (), ()) for _ in prompts]
        return tiny_model.runner().generate(prompts, sampling)

    runner = Changed(capabilities=with_capabilities(tier=Tier.TOP_LOGPROBS), generate=generate)
    assert len(RunnerModel(runner).next_tokens([(1, 2)])[0]) == 20  # type: ignore[arg-type]


# ---------------------------------------------------------------- nothing is kept or quoted


def test_an_endpoint_that_keeps_what_it_is_asked_is_refused() -> None:
    with served(create_app(tiny_model.runner(), "tiny")) as root:
        runner = OpenAIRunner(f"{root}/v1", allow_private=True, limits=QUICK)
        with pytest.raises(ModelAccessError, match=r"ExchangeLog\.none"):
            RunnerModel(runner)
        runner.close()


def quoting(count: int, seen: Seen) -> Answer:
    """A server that repeats whatever it is asked in its errors."""
    if seen[0].endswith("/models"):
        return 200, {}, json.dumps({"data": [{"id": "m"}]}).encode()
    said = json.loads(seen[2] or b"{}").get("prompt", "")
    return 400, {}, json.dumps({"error": {"message": f"I do not like {said}"}}).encode()


def test_what_a_server_says_is_never_repeated() -> None:
    with scripted(quoting) as (url, _):
        endpoint = Endpoint(url, allow_private=True, limits=QUICK, log=ExchangeLog.none())
        with pytest.raises(RefusedError, match="left out") as caught:
            endpoint.post("/completions", {"prompt": SECRET})
        assert SECRET not in str(caught.value) and endpoint.log.read() == b"" and endpoint.log.count == 1
        endpoint.close()
        kept = Endpoint(url, allow_private=True, limits=QUICK)
        with pytest.raises(RefusedError, match=SECRET):
            kept.post("/completions", {"prompt": SECRET})
        kept.close()


@pytest.mark.parametrize(
    "error",
    [CapabilityError("no such thing here"), RunnerError("the model failed: prompt " + SECRET)],
)  # fmt: skip
def test_errors_of_libraries_are_not_repeated(error: RunnerError) -> None:
    def fail(*asked: Any, **options: Any) -> Any:
        try:
            raise RuntimeError(SECRET)
        except RuntimeError as cause:
            raise error from (cause if SECRET in str(error) else None)

    model = RunnerModel(Changed(capabilities=with_capabilities(tier=Tier.TOKENS), generate=fail))  # type: ignore[arg-type]
    with pytest.raises(ModelAccessError) as caught:
        model.write([CONTEXT + SECRET], 1, Decoding(4))
    assert SECRET not in str(caught.value) and caught.value.__cause__ is None and caught.value.__context__ is None
    assert ("no such thing" in str(caught.value)) is isinstance(error, CapabilityError)


def test_cancelling_ends_a_probe() -> None:
    model = RunnerModel(tiny_model.runner(), cancelled=lambda: True)
    for ask in (lambda: model.write(["a"], 1, Decoding(4)), lambda: model.score_candidates([(1, 2)], [[(3,)]])):
        with pytest.raises(ProbeCancelledError):
            ask()

    def fail(*asked: Any, **options: Any) -> Any:
        raise CancelledError("prompt " + SECRET)

    with pytest.raises(ProbeCancelledError) as caught:
        RunnerModel(Changed(generate=fail)).write(["a"], 1, Decoding(4))  # type: ignore[arg-type]
    assert SECRET not in str(caught.value)


def test_a_log_that_keeps_nothing(tmp_path: Path) -> None:
    log = ExchangeLog.none()
    log.add({"request": SECRET})
    assert log.count == 1 and not log.keeps and log.read() == b"" and ExchangeLog().keeps
    assert SECRET not in str(log.__dict__) and Attestation("m", None, "cpu", "float32").model == "m"


# ---------------------------------------------------------------- a whole probe


@pytest.mark.slow
def test_a_model_that_knows_nobody_accuses_nobody() -> None:
    """Canaries that the tiny model never saw, at the full tier in process."""
    from privacy.invented.people import draw_people
    from privacy.people import Origin
    from privacy.probes.black_box import run_black_box
    from privacy.probes.plan import ProbePlan
    from privacy.redaction import Redactor
    from privacy.templates import builtin_templates

    rng = random.Random(2)
    canaries = draw_people(rng, 3, ("phone",), origin=Origin.CANARY, prefix="canary")
    people = [*canaries, *draw_people(rng, 59, ("phone",), [one.values["name"] for one in canaries])]
    plan = ProbePlan(types=("phone",), nulls=59, templates=builtin_templates("phone", ())[:1], seed=3)
    commit = Redactor(b"k" * 32).commit
    found = run_black_box(plan, people, RunnerModel(tiny_model.runner()), commit=commit)
    assert found.found == 0 and found.gate.passes

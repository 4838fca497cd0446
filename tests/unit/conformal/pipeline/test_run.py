"""Runs from end to end on scripted models: the ledger, failures that are counted, and resumption at every possible point."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conformal.claims import read_ledger
from conformal.errors import LedgerError
from conformal.pipeline.backoff import ABSTENTION, ThresholdBackOff
from conformal.pipeline.errors import MissingCapabilityError, ModelError, PipelineError, RunCancelledError
from conformal.pipeline.journal import ITEMS, MANIFEST, Journal
from conformal.pipeline.ledger import read_scored_ledger, scored_only
from conformal.pipeline.merging import PromptedMerger
from conformal.pipeline.model import Decoding
from conformal.pipeline.plan import Plan
from conformal.pipeline.questions import Question, read_questions
from conformal.pipeline.run import FILTERED, LEDGER, REPORT, run_pipeline
from conformal.pipeline.scorers.frequency import FrequencyScorer
from conformal.pipeline.scorers.judges import PromptedJudge
from conformal.pipeline.scorers.logprob import LogprobScorer
from conformal.pipeline.scorers.position import PositionScorer
from conformal.pipeline.scorers.random import RandomScorer
from conformal.pipeline.splitters.prompted import PromptedSplitter
from conformal.pipeline.splitters.rules import RuleSplitter
from tests.unit.conformal.pipeline.models import ScriptedModel, json_after
from tests.unit.conformal.pipeline.test_scorers import judgement

QUESTIONS = [Question(f"q{i}", f"Tell me of town {i}.", "even" if i % 2 == 0 else None) for i in range(5)]
FILES = (LEDGER, FILTERED, REPORT)


def town(prompt: str, decoding: Decoding) -> str:
    """Greedy answers say two things; samples say one of them, by their seed."""
    name = prompt.split()[-1].rstrip(".")
    both = [f"Town{name} is old.", f"Town{name} is big."]
    return " ".join(both) if decoding.temperature == 0 else both[decoding.seed % 2]


def split(prompt: str, decoding: Decoding) -> str:
    parts = json_after(prompt, "Answer").split(". ")
    return "\n".join(json.dumps({"claim": part.rstrip(".") + "."}) for part in parts)


REPLIES = {
    "answer": town,
    "split": split,
    "support": judgement,
    "merge": lambda prompt, decoding: " ".join(json_after(prompt, "Facts")),
}


def plan(model: ScriptedModel | None = None, **changes: Any) -> Plan:
    model = model or ScriptedModel(REPLIES)
    made = Plan(
        model=model,
        splitter=PromptedSplitter(model),
        scorers=(FrequencyScorer(PromptedJudge(model)), RandomScorer(3), LogprobScorer(model)),
        decoding=Decoding(64),
        sampling=Decoding(64, 1.0),
        samples=3,
        batch=2,
        backoff=ThresholdBackOff("frequency-llm", 1.0),
        merger=PromptedMerger(model),
    )
    return replace(made, **changes)


def written(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


def test_whole_run(tmp_path: Path) -> None:
    shown: list[float] = []
    report = run_pipeline(QUESTIONS, plan(), tmp_path, lambda fraction, what: shown.append(fraction))
    assert shown == sorted(shown) and shown[-1] == pytest.approx(1.0)
    table = read_ledger((tmp_path / LEDGER).read_text().splitlines())
    assert table.n_outputs == 5 and table.n_claims == 10 and table.labels is None
    assert set(table.scores) == {"frequency-llm", "random", "logprob"} and table.groups == ("even", None, "even", None, "even")
    rows = [json.loads(line) for line in (tmp_path / FILTERED).read_text().splitlines()]
    for place, row in enumerate(rows):
        scores = table.score("frequency-llm")[2 * place : 2 * place + 2]
        assert sum(scores) == 3.0, "every sample supports one of the two claims"
        assert row["kept"] == [i for i in (0, 1) if scores[i] > 1.0]
        assert row["text"] == f"Town{place} is {('old', 'big')[row['kept'][0]]}."
    assert report["filtered"]["retention"] == 0.5 and report["filtered"]["violation_rate"] == 0.0
    assert report["failures"] == {} and json.loads((tmp_path / REPORT).read_text()) == report


class Killed(BaseException):
    """As if the process had ended here."""


def test_resumes_from_every_call_of_the_model(tmp_path: Path) -> None:
    reference = ScriptedModel(REPLIES)
    run_pipeline(QUESTIONS, plan(reference), tmp_path / "reference")
    total = len(reference.calls)
    for stop in range(0, total, 3):
        model, left = ScriptedModel(REPLIES), [stop]

        def dies(kind: str, prompt: str, decoding: Decoding, left: list[int] = left) -> bool:
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return False

        folder = tmp_path / str(stop)
        model.fails = dies
        with pytest.raises(Killed):
            run_pipeline(QUESTIONS, plan(model), folder)
        again = ScriptedModel(REPLIES)
        run_pipeline(QUESTIONS, plan(again), folder)
        assert written(folder) == written(tmp_path / "reference")
        assert len(again.calls) <= total - stop + 2, "what is finished is not asked again, but for the batch that was cut"


def test_resumes_from_every_byte_of_the_journal(tmp_path: Path) -> None:
    few = QUESTIONS[:2]
    run_pipeline(few, plan(), tmp_path / "reference")
    items = (tmp_path / "reference" / ITEMS).read_bytes()
    for cut in range(0, len(items), 97):
        folder = tmp_path / str(cut)
        folder.mkdir()
        (folder / MANIFEST).write_bytes((tmp_path / "reference" / MANIFEST).read_bytes())
        (folder / ITEMS).write_bytes(items[:cut])
        run_pipeline(few, plan(), folder)
        assert written(folder) == written(tmp_path / "reference")
        assert sorted((folder / ITEMS).read_bytes().splitlines()) == sorted(items.splitlines())


def test_a_finished_run_asks_nothing(tmp_path: Path) -> None:
    run_pipeline(QUESTIONS, plan(), tmp_path)
    before, model = written(tmp_path), ScriptedModel({})
    run_pipeline(QUESTIONS, plan(model), tmp_path)
    assert written(tmp_path) == before and model.calls == []


def test_cancelled_and_continued(tmp_path: Path) -> None:
    run_pipeline(QUESTIONS, plan(), tmp_path / "whole")
    looks = iter([False] * 9 + [True])
    with pytest.raises(RunCancelledError, match="same command"):
        run_pipeline(QUESTIONS, plan(), tmp_path / "run", cancelled=lambda: next(looks))
    run_pipeline(QUESTIONS, plan(), tmp_path / "run")
    assert written(tmp_path / "run") == written(tmp_path / "whole")


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (lambda: plan(seed=1), "seed"),
        (lambda: plan(batch=3), "batch"),
        (lambda: plan(backoff=ThresholdBackOff("frequency-llm", 2.0)), "backoff"),
        (lambda: plan(scorers=(RandomScorer(3),), backoff=None), "scorers"),
        (lambda: plan(splitter=RuleSplitter()), "splitter"),
        (lambda: plan(ScriptedModel(REPLIES, name="other")), "model"),
    ],
)
def test_a_folder_of_another_run_is_refused(tmp_path: Path, changed: Callable[[], Plan], named: str) -> None:
    run_pipeline(QUESTIONS[:1], plan(), tmp_path)
    with pytest.raises(PipelineError, match=f"another folder|{named}") as refused:
        run_pipeline(QUESTIONS[:1], changed(), tmp_path)
    assert named in str(refused.value)
    with pytest.raises(PipelineError, match="prompts"):
        run_pipeline(QUESTIONS[:2], plan(), tmp_path)


def test_damage_is_found(tmp_path: Path) -> None:
    run_pipeline(QUESTIONS[:1], plan(), tmp_path)
    items = (tmp_path / ITEMS).read_bytes()
    lines = items.splitlines(keepends=True)
    for damaged in (b"{}\n" + items, items + lines[0], lines[0][:-5] + b"\n" + items):
        (tmp_path / ITEMS).write_bytes(damaged)
        with pytest.raises(PipelineError, match="line"):
            run_pipeline(QUESTIONS[:1], plan(), tmp_path)
    (tmp_path / MANIFEST).write_text("[")
    with pytest.raises(PipelineError, match="damaged"):
        run_pipeline(QUESTIONS[:1], plan(), tmp_path)
    os.remove(tmp_path / MANIFEST)
    with pytest.raises(PipelineError, match="without a manifest"):
        run_pipeline(QUESTIONS[:1], plan(), tmp_path)


def test_one_process_at_a_time(tmp_path: Path) -> None:
    journal = Journal(tmp_path, {"a": 1})
    with pytest.raises(PipelineError, match="in use"):
        Journal(tmp_path, {"a": 1})
    journal.close()
    Journal(tmp_path, {"a": 1}).close()


# ---------------------------------------------------------------------- what fails is counted and never kept


def test_garbage_from_the_splitter_is_an_abstention(tmp_path: Path) -> None:
    model = ScriptedModel({**REPLIES, "split": lambda p, d: "Sure! Here they are" if "town 2" in p else split(p, d)})
    report = run_pipeline(QUESTIONS, plan(model), tmp_path)
    outputs = read_scored_ledger((tmp_path / LEDGER).read_text().splitlines())
    assert report["split_failed"] == 1 and outputs[2].claims == () and "JSON" in (outputs[2].error or "")
    row = json.loads((tmp_path / FILTERED).read_text().splitlines()[2])
    assert row["text"] == ABSTENTION and row["abstained"] and report["filtered"]["abstained"] == 1
    assert "is old" not in row["text"] and "is big" not in row["text"]


def test_missing_samples_leave_no_score(tmp_path: Path) -> None:
    model = ScriptedModel(REPLIES, fails=lambda kind, prompt, d: kind == "answer" and d.temperature > 0 and "town 1" in prompt)
    report = run_pipeline(QUESTIONS, plan(model), tmp_path)
    assert report["failures"] == {"samples": 3, "score frequency-llm": 1}
    assert report["unscored"] == {"frequency-llm": 2, "random": 0, "logprob": 0}
    assert json.loads((tmp_path / FILTERED).read_text().splitlines()[1])["text"] == ABSTENTION
    with pytest.raises(LedgerError, match="lacks the score 'frequency-llm'"):
        read_ledger((tmp_path / LEDGER).read_text().splitlines())
    outputs = read_scored_ledger((tmp_path / LEDGER).read_text().splitlines())
    assert [len(scored_only(output, "frequency-llm").claims) for output in outputs] == [2, 0, 2, 2, 2]


def test_a_scorer_that_breaks_scores_nothing(tmp_path: Path) -> None:
    class Broken(PositionScorer):
        def score(self, task: Any) -> Any:
            return [1.0 / (task.id != "q1")] * len(task.claims)

    report = run_pipeline(QUESTIONS, plan(scorers=(Broken(),), backoff=ThresholdBackOff("position", float("-inf"))), tmp_path)
    assert report["unscored"] == {"position": 2} and report["filtered"]["abstained"] == 1


def test_a_merge_that_adds_is_counted(tmp_path: Path) -> None:
    model = ScriptedModel({**REPLIES, "merge": lambda p, d: " ".join(json_after(p, "Facts")) + " Oslo is cold."})
    report = run_pipeline(QUESTIONS, plan(model), tmp_path)
    assert report["filtered"]["violation_rate"] == 1.0 and report["filtered"]["statements_added"] == 5
    assert "Oslo" not in "".join(json.loads(line)["text"] for line in (tmp_path / FILTERED).read_text().splitlines())


def test_no_answer_ends_the_run_and_keeps_what_is_done(tmp_path: Path) -> None:
    model = ScriptedModel(REPLIES, fails=lambda kind, prompt, d: kind == "answer" and "town 4" in prompt)
    with pytest.raises(ModelError):
        run_pipeline(QUESTIONS, plan(model), tmp_path / "run")
    assert not (tmp_path / "run" / LEDGER).exists()
    run_pipeline(QUESTIONS, plan(), tmp_path / "run")
    run_pipeline(QUESTIONS, plan(), tmp_path / "whole")
    assert written(tmp_path / "run") == written(tmp_path / "whole")


def test_settings_are_refused_before_any_work(tmp_path: Path) -> None:
    poor = ScriptedModel(REPLIES, prompt_logprobs=False)
    with pytest.raises(MissingCapabilityError, match="logprob"):
        run_pipeline(QUESTIONS, plan(poor), tmp_path)
    for bad in ({"scorers": ()}, {"samples": 1_000}, {"batch": 0}, {"backoff": ThresholdBackOff("nothing", 1.0)}):
        with pytest.raises(PipelineError):
            run_pipeline(QUESTIONS, plan(**bad), tmp_path)
    assert poor.calls == [] and not list(tmp_path.iterdir())


def test_the_components_follow_what_they_are_of() -> None:
    base = plan().components("frequency-llm")
    assert all(len(value) == 64 for value in base.values()) and set(base) == {"model", "prompt", "splitter", "scorer"}
    assert plan(seed=5).components("frequency-llm") == base, "the seed is no component"
    for changes, name in (
        ({"decoding": Decoding(65)}, "prompt"),
        ({"samples": 4}, "scorer"),
        ({"splitter": RuleSplitter()}, "splitter"),
    ):
        other = plan(**changes).components("frequency-llm")
        assert [key for key in base if base[key] != other[key]] == [name]
    assert plan(samples=4).components("random") == plan().components("random")


@pytest.mark.parametrize(
    "lines",
    [
        b"", b"[1]", b'{"id": "a"}', b'{"id": "", "prompt": "x"}', b'{"id": "a", "prompt": "  "}', b'{"id": 1, "prompt": "x"}',
        b'{"id": "a", "prompt": "x", "more": 1}', b'{"id": "a", "prompt": "x"}\n{"id": "a", "prompt": "y"}', b"\xff\xfe", b"{",
        b'{"id": "a", "prompt": "x", "group": ""}', b'{"id":' * 10_000,
    ],
)  # fmt: skip
def test_bad_prompts_are_refused(lines: bytes) -> None:
    with pytest.raises(PipelineError):
        read_questions(lines.splitlines())

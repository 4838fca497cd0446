"""Whole evaluations: non-answers apart, nothing depends on the order of options, figures and pages hold what was found."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from conformal.errors import GuaranteeError, LedgerError
from conformal.linguistic.evaluation import Settings, compare_ece, evaluate, read_all
from conformal.linguistic.figures import panels, reliability_diagram
from conformal.linguistic.paragraphs import Paragraph, parse_paragraphs
from conformal.linguistic.readers.extractive import ExtractiveReader
from conformal.linguistic.rendering import page, summary
from conformal.linguistic.writing import Writing, write_paragraphs
from tests.unit.conformal.linguistic.readers_world import paragraph_line

SMALL = Settings(bins=5, draws=99, resamples=20)


def sampled(n: int = 120, silent: int = 10, shift: int = 0) -> tuple[Paragraph, ...]:
    """Calibrated readings; the options of question i are turned round by `shift` places."""
    rng = np.random.default_rng(0)
    lines = []
    for i in range(n):
        row = rng.dirichlet([2.0, 1.0, 0.5])
        truth = int(rng.choice(3, p=row))
        names = [f"a{i}", f"b{i}", f"c{i}"]
        order = [(place + shift) % 3 for place in range(3)]
        readings = None if i < silent else [float(row[j]) for j in order]
        lines.append(paragraph_line(f"p{i}", None, [names[j] for j in order], names[truth], {"r": readings}))
    return parse_paragraphs(lines)


def test_non_answers_are_counted_and_not_scored() -> None:
    paragraphs = sampled()
    found = evaluate(paragraphs, read_all(paragraphs, []), SMALL)["readers"]["r"]
    assert found["answered"] == 110 and found["non_answers"]["count"] == 10
    assert found["non_answers"]["reasons"] == {"given as a non-answer": 10}
    assert found["accuracy_of_all"] == pytest.approx(found["accuracy"] * 110 / 120)
    assert sum(row["n"] for row in found["diagram"]) == 110
    only = evaluate(paragraphs[:10], read_all(paragraphs[:10], []), SMALL)["readers"]["r"]
    assert only["answered"] == 0 and "ece" not in only


def test_order_of_options_is_of_no_account() -> None:
    first, second = sampled(), sampled(shift=1)
    assert evaluate(first, read_all(first, []), SMALL) == evaluate(second, read_all(second, []), SMALL)


def test_uniform_readers_gain_nothing_where_the_truth_stands_first() -> None:
    lines = [paragraph_line(f"p{i}", None, [f"a{i}", f"b{i}", f"c{i}"], f"a{i}", {"r": [1 / 3] * 3}) for i in range(3000)]
    paragraphs = parse_paragraphs(lines)
    found = evaluate(paragraphs, read_all(paragraphs, []), SMALL)["readers"]["r"]
    assert found["accuracy"] == pytest.approx(1 / 3, abs=4 * (2 / 9 / 3000) ** 0.5)
    assert all(found["tests"][name]["p_value"] > 0.01 for name in ("top_label", "class_wise", "distribution"))


def test_tests_take_one_question_a_paragraph() -> None:
    rows = []
    for i in range(30):
        questions = [
            {"question": "?", "options": [f"a{i}", f"b{i}"], "truth": f"a{i}", "readers": {"r": [0.6, 0.4]}} for _ in range(4)
        ]
        rows.append(json.dumps({"id": f"p{i}", "text": None, "questions": questions}))
    paragraphs = parse_paragraphs(rows)
    found = evaluate(paragraphs, read_all(paragraphs, []), SMALL)["readers"]["r"]
    assert found["answered"] == 120 and found["tests"]["top_label"]["n"] == 30


def test_readers_must_be_named_and_whole() -> None:
    texts = parse_paragraphs([paragraph_line("p", "It is a.", ["a", "b"], "a")])
    with pytest.raises(GuaranteeError, match="no reader"):
        evaluate(texts, read_all(texts, []), SMALL)
    with pytest.raises(GuaranteeError, match="two readers"):
        read_all(texts, [ExtractiveReader(), ExtractiveReader()])
    with pytest.raises(LedgerError, match="no text"):
        read_all(sampled(3), [ExtractiveReader()])
    half = parse_paragraphs(
        [paragraph_line("p", "a", ["a", "b"], "a", {"r": [0.5, 0.5]}), paragraph_line("q", "a", ["a", "b"], "a")]
    )
    with pytest.raises(GuaranteeError, match="gives nothing"):
        read_all(half, [])


def test_ece_of_different_n_is_not_compared() -> None:
    reports = [evaluate(p, read_all(p, []), SMALL)["readers"]["r"] for p in (sampled(), sampled(silent=11), sampled(shift=2))]
    assert compare_ece(reports[0], reports[2], (5, 5)) == 0.0
    for other, bins in ((reports[1], (5, 5)), (reports[2], (5, 10))):
        with pytest.raises(GuaranteeError, match="not on one scale"):
            compare_ece(reports[0], other, bins)


def test_diagram_is_wellformed_and_escapes_names() -> None:
    paragraphs = sampled()
    report = evaluate(paragraphs, read_all(paragraphs, []), SMALL)["readers"]["r"]
    drawn = reliability_diagram({"<b>&\x00": report, "other": report})
    root = ElementTree.fromstring(drawn)
    circles = root.findall(".//{http://www.w3.org/2000/svg}circle")
    assert len(circles) == 2 * len(report["diagram"]) and "<b>" not in drawn
    assert "ECE" in drawn and "10 non-answers" in drawn
    for row in report["diagram"]:
        assert row["low"] <= row["accuracy"] <= row["high"]
    (panel,) = panels({"r": report})
    assert len(panel["lines"][0]["points"]) == len(report["diagram"])
    with pytest.raises(ValueError, match="nothing to draw"):
        reliability_diagram({"r": {"answered": 0}})


def test_panels_are_what_a_signed_report_draws() -> None:
    from audit.charts import read_panels

    paragraphs = sampled()
    found = panels(evaluate(paragraphs, read_all(paragraphs, []), SMALL)["readers"])
    assert read_panels({"figure": found}) == found


def test_summary_and_page() -> None:
    texts = ["It is probably a.", "It is b.", "no answer"]
    lines = [paragraph_line(f"p{i}", text, ["a", "b"], "a") for i, text in enumerate(texts)]
    paragraphs = parse_paragraphs(lines)
    found = evaluate(paragraphs, read_all(paragraphs, [ExtractiveReader(), ExtractiveReader(None)]), SMALL)
    text = summary(found)
    assert "1 plain assertion" in text and "1 (33.3%)" in text and "against" in text
    assert "<script" not in page(found) and "default-src 'none'" in page(found)


class Echo:
    """Writes a text that tells its prompt and seed; may break off after some calls, as a kill would."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.calls, self.stop_after = 0, stop_after

    def generate(self, prompts: Sequence[str], *, max_tokens: int, temperature: float, seed: int) -> list[str]:
        if self.calls == self.stop_after:
            raise KeyboardInterrupt
        self.calls += 1
        return [f"{prompt[-20:]} {seed} \ud800" for prompt in prompts]


def test_writing_resumes_and_ends_the_same(tmp_path: Path) -> None:
    tasks = parse_paragraphs([paragraph_line(f"p{i}", None, ["a", "b"], "a") for i in range(10)])
    settings = Writing(batch=3)
    whole = write_paragraphs(Echo(), "m", tasks, tmp_path / "whole.jsonl", settings)
    out = tmp_path / "cut.jsonl"
    with pytest.raises(KeyboardInterrupt):
        write_paragraphs(Echo(stop_after=2), "m", tasks, out, settings)
    with out.open("ab") as stream:
        stream.write(out.read_bytes().splitlines(keepends=True)[0].replace(b"p0", b"p6") + b'{"id": "torn')
    again = Echo()
    assert write_paragraphs(again, "m", tasks, out, settings) == whole and again.calls == 2
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    for model, other in (("another", settings), ("m", Writing(batch=3, seed=1))):
        with pytest.raises(LedgerError, match="another model"):
            write_paragraphs(Echo(), model, tasks, out, other)
    stranger = tmp_path / "stranger.jsonl"
    stranger.write_text("mine\n")
    with pytest.raises(LedgerError, match="was not written by"):
        write_paragraphs(Echo(), "m", tasks, stranger, settings)
    assert stranger.read_text() == "mine\n"

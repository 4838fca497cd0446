"""`assay calibration evaluate` and `run`: what they print and write, and one line for what goes wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from api.cli.exits import Exit
from api.cli.main import main
from tests.unit.conformal.linguistic.readers_world import paragraph_line

FAST = ["--draws", "99", "--resamples", "20", "--bins", "4"]


def assay(*argv: str | Path) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([str(word) for word in argv])
    return int(stopped.value.code or 0)


@pytest.fixture
def paragraphs(tmp_path: Path) -> Path:
    path = tmp_path / "paragraphs.jsonl"
    texts = ["With 80% confidence, Rome.", "It is probably Bonn.", "No city.", "Kiel.", "I am 60% sure it is Rome."]
    lines = [paragraph_line(f"p{i}", texts[i % 5], ["Rome", "Bonn", "Kiel"], "Rome") for i in range(20)]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_evaluate_prints_json_and_writes_files(paragraphs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    svg, html = tmp_path / "d.svg", tmp_path / "d.html"
    readers = ["--reader", "extractive", "--json", "--svg", str(svg), "--html", str(html)]
    assert assay("calibration", "evaluate", paragraphs, *readers, *FAST) == Exit.OK
    found = json.loads(capsys.readouterr().out)
    report = found["readers"]["extractive/1"]
    assert report["answered"] == 16 and report["non_answers"]["reasons"] == {"no option mentioned": 4}
    assert found["declared"][0]["plain"] == 1.0 and found["settings"]["draws"] == 99
    assert svg.read_text().startswith("<svg") and "<svg" in html.read_text()


def test_evaluate_is_replayable_and_speaks(paragraphs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = []
    for _ in range(2):
        assert assay("calibration", "evaluate", paragraphs, *FAST) == Exit.OK
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert "non-answers" in printed[0] and "a calibrated reader" in printed[0] and "4 plain assertion" in printed[0]


def test_readings_of_the_file_need_no_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "readings.jsonl"
    lines = [paragraph_line(f"p{i}", None, ["a", "b"], "ab"[i % 2], {"one": [0.6, 0.4], "two": [0.5, 0.5]}) for i in range(8)]
    path.write_text("\n".join(lines))
    assert assay("calibration", "evaluate", path, "--json", *FAST) == Exit.OK
    found = json.loads(capsys.readouterr().out)
    assert set(found["readers"]) == {"one", "two"} and found["disagreement"][0]["total_variation"] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--reader", "oracle"], "there is no reader"),
        (["--reader", "options:"], "there is no reader"),
        (["--plain", "2"], "--plain"),
        (["--plain", "nan"], "--plain"),
        (["--reader", "extractive", "--reader", "extractive"], "two readers"),
        (["--reader", "options:/no/such/model"], "no/such/model"),
    ],
)
def test_errors_are_one_line(paragraphs: Path, argv: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert assay("calibration", "evaluate", paragraphs, *argv) != Exit.OK
    message = capsys.readouterr().err
    assert says in message and message.count("\n") == 1


def test_a_bad_line_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(paragraph_line("p", "x", ["a", "b"], "a") + "\n" + paragraph_line("q", "x", ["a", "b"], "c") + "\n")
    assert assay("calibration", "evaluate", path) == Exit.OPERATIONAL
    assert "bad.jsonl, line 2, question 0" in capsys.readouterr().err


@pytest.mark.slow
def test_run_on_the_tiny_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests import tiny_model

    model = str(tiny_model.folder())
    questions, out = tmp_path / "q.jsonl", tmp_path / "o.jsonl"
    questions.write_text("\n".join(paragraph_line(f"p{i}", None, ["list", "object"], "list") for i in range(5)))
    command = [
        "calibration",
        "run",
        "--model",
        model,
        "--questions",
        questions,
        "-o",
        out,
        "--max-new-tokens",
        "12",
        "--batch",
        "2",
    ]
    readers = ["--reader", "extractive", "--reader", f"options:{model}", "--device", "cpu", "--json", *FAST]
    assert assay(*command, *readers) == Exit.OK
    first = json.loads(capsys.readouterr().out)
    options = next(report for name, report in first["readers"].items() if name.startswith("options/1"))
    assert options["answered"] == 5 and len(first["readers"]) == 2
    whole = out.read_bytes()
    out.write_bytes(b"".join(whole.splitlines(keepends=True)[:3]))
    assert assay(*command, *readers) == Exit.OK
    assert out.read_bytes() == whole and json.loads(capsys.readouterr().out) == first
    assert assay(*command, "--seed", "1") == Exit.OPERATIONAL
    assert "another model, other questions or settings" in capsys.readouterr().err

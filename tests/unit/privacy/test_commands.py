"""`assay privacy test` and `dp-bound`: exit codes, JSON, refusals without a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from api.cli.main import main
from tests.unit.privacy.test_score_table import HEADER, population


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main(["privacy", *words])
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return int(stopped.value.code or 0), captured.out, captured.err


@pytest.fixture()
def scores(tmp_path: Path) -> str:
    unaware = [r.replace(",5.0,", ",20.5,") for r in population(5, 20, True, trained_on="none")]
    path = tmp_path / "scores.csv"
    path.write_text("\n".join([HEADER, *population(5, 20, leak=True), *unaware]) + "\n")
    return str(path)


def test_raw_scores(scores: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "test", "--scores", scores)
    assert code == 5 and "association only" in out and "memorised" not in out and "--reference" in err


def test_with_a_reference(scores: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "test", "--scores", scores, "--reference", "trained_on=none", "--subjects")
    assert code == 0 and "memorised: 5 of 5" in out and "p_adjusted" in out and "no decoys" in err
    code, out, _ = run(capsys, "test", "--scores", scores, "--reference", "trained_on=none", "--json")
    found = json.loads(out)
    assert [v["found"] for v in found["variants"]] == [5] and found["variants"][0]["results"][0]["verdict"] == "memorised"


def test_reference_in_another_file(scores: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.csv"
    other.write_text("\n".join([HEADER, *population(5, 20, True, trained_on="none")]).replace(",5.0,", ",20.5,"))
    code, out, _ = run(capsys, "test", "--scores", scores, "--reference-scores", str(other), "--json")
    found = {v["labels"]["trained_on"]: v["found"] for v in json.loads(out)["variants"]}
    assert code == 0 and found == {"full": 5, "none": 0}


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--reference", "trained_on=never"], 1),
        (["--reference", "ref_"], 1),
        (["--reference", "=x"], 2),
        (["--reference", ""], 2),
        (["--alpha", "2"], 2),
        (["--reference-scores", "absent.csv"], 1),
    ],
)
def test_refusals(words: list[str], code: int, scores: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "test", "--scores", scores, *words)[0] == code


@pytest.fixture()
def canaries(tmp_path: Path) -> str:
    rng = np.random.default_rng(1)
    included = rng.random(400) < 0.5
    values = rng.normal(size=400) + 2 * included
    path = tmp_path / "canaries.csv"
    path.write_text("score,included\n" + "".join(f"{s},{int(i)}\n" for s, i in zip(values, included)))
    return str(path)


@pytest.mark.parametrize("method", ["grid", "split", "splits", "many-sample", "fixed"])
def test_bounds(method: str, canaries: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--k-minus", "40", "--k-plus", "40"] if method == "fixed" else []
    code, out, _ = run(capsys, "dp-bound", "--canaries", canaries, "--method", method, "--claim", "0.5", "--json", *words)
    found = json.loads(out)
    assert code == 3 and found["claim_refuted"] is True and found["epsilon_lower"] > 0.5
    code, out, _ = run(capsys, "dp-bound", "--canaries", canaries, "--method", method, "--claim", "50", *words)
    assert code == 0 and "does not confirm" in out


@pytest.mark.parametrize(
    "words",
    [
        ["--method", "argmax"],
        ["--method", "fixed"],
        ["--k-plus", "3"],
        ["--alpha", "0"],
        ["--method", "fixed", "--k-plus", "900"],
    ],
)
def test_bound_refusals(words: list[str], canaries: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "dp-bound", "--canaries", canaries, *words)[0] in (1, 2)


def test_a_file_of_something_else(scores: str, canaries: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "test", "--scores", canaries)[0] == 1
    assert run(capsys, "dp-bound", "--canaries", scores)[0] == 1
    assert run(capsys, "test", "--scores", "/dev/null")[0] == 1

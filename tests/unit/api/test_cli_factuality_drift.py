"""`assay factuality drift`: alarm and no alarm, going on from a saved state, the chart, one clear line for bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api.cli.main import main
from conformal.claims import ClaimTable
from tests.unit.conformal.drift_streams import biographies

OPTIONS = ["--score", "frequency", "--at-most-false", "3"]


def write(path: Path, table: ClaimTable) -> Path:
    lines = []
    for i, identity in enumerate(table.ids):
        rows = range(int(table.offsets[i]), int(table.offsets[i + 1]))
        score, labels = table.score("frequency"), table.labels or ()
        claims = [{"text": "c", "scores": {"frequency": float(score[j])}, "label": labels[j]} for j in rows]
        lines.append(json.dumps({"id": identity, "prompt": "p", "output": "o", "claims": claims}))
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where, rng = tmp_path_factory.mktemp("drift"), np.random.default_rng(3)
    write(where / "calibration.jsonl", biographies(rng, 100, 0.9, "c"))
    write(where / "alike.jsonl", biographies(rng, 80, 0.9, "a"))
    write(where / "worse.jsonl", biographies(rng, 150, 0.7, "w"))
    return where


def run(capsys: Any, *words: Any) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["factuality", "drift", *map(str, words)])
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err
    return int(ended.value.code or 0), shown.out, shown.err


def test_no_alarm_and_alarm(folder: Path, capsys: Any) -> None:
    calibration = ["--calibration", folder / "calibration.jsonl", *OPTIONS]
    code, out, _ = run(capsys, folder / "alike.jsonl", *calibration)
    assert code == 0 and "no alarm after 80 outputs" in out and "not that there is none" in out
    code, out, _ = run(capsys, folder / "worse.jsonl", *calibration, "--json", "--test", "ranks", "--test", "errors")
    found = json.loads(out)
    assert code == 3 and found["verdict"] == "alarm" and found["alarm_id"] == f"w{found['alarm_index']}"
    assert set(found["tests"]) == {"ranks", "errors"} and found["level"] == "1/20"


def test_a_state_goes_on_and_the_chart_is_drawn(folder: Path, tmp_path: Path, capsys: Any) -> None:
    state, chart = tmp_path / "state.json", tmp_path / "drift.svg"
    calibration = ["--calibration", folder / "calibration.jsonl"]
    assert run(capsys, folder / "alike.jsonl", *calibration, *OPTIONS, "--state", state)[0] == 0
    code, out, _ = run(capsys, folder / "worse.jsonl", *OPTIONS, "--state", state, "--json", "--svg", chart)
    resumed = json.loads(out)
    assert code == 3 and resumed["outputs"] == 230 and chart.read_text().startswith("<svg")
    both = tmp_path / "both.jsonl"
    both.write_text((folder / "alike.jsonl").read_text() + "\n" + (folder / "worse.jsonl").read_text())
    whole = json.loads(run(capsys, both, *calibration, *OPTIONS, "--json")[1])
    assert {**whole, "already_fed": 0} == resumed
    again = json.loads(run(capsys, both, *OPTIONS, "--state", state, "--json")[1])
    assert again == {**resumed, "already_fed": 230}


def test_a_begun_monitor_is_not_changed(folder: Path, tmp_path: Path, capsys: Any) -> None:
    state = tmp_path / "state.json"
    begun = [folder / "alike.jsonl", "--calibration", folder / "calibration.jsonl", "--state", state]
    assert run(capsys, *begun, *OPTIONS)[0] == 0
    before = state.read_bytes()
    relabelled = tmp_path / "relabelled.jsonl"
    relabelled.write_text((folder / "alike.jsonl").read_text().replace('"Y"', '"N"'))
    for words, message in (
        ([*begun, *OPTIONS, "--level", "0.2"], "other settings (level)"),
        ([*begun, "--score", "frequency"], "other settings (described)"),
        ([folder / "worse.jsonl", "--calibration", folder / "alike.jsonl", "--state", state, *OPTIONS], "other calibration"),
        ([relabelled, "--state", state, *OPTIONS], "not rewritten"),
        ([folder / "calibration.jsonl", "--state", state, *OPTIONS], "only fresh ones"),
    ):
        code, _, err = run(capsys, *words)
        assert code == 1 and message in err, err
    assert state.read_bytes() == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["STREAM", *OPTIONS], "--calibration"),
        (["STREAM", "--calibration", "CALIBRATION", "--score", "luck"], "luck"),
        (["STREAM", "--calibration", "CALIBRATION", *OPTIONS, "--fraction", "0.8"], "either"),
        (["STREAM", "--calibration", "CALIBRATION", *OPTIONS, "--level", "1"], "level"),
        (["STREAM", "--calibration", "CALIBRATION", *OPTIONS, "--bet", "red"], "betting strategy"),
        (["STREAM", "--calibration", "CALIBRATION", *OPTIONS, "--test", "luck"], "tests of a monitor"),
        (["STREAM", "--calibration", "CALIBRATION", *OPTIONS, "--seed", "-1"], "seed"),
        (["STREAM", "--calibration", "STREAM", *OPTIONS], "only fresh ones"),
        (["nowhere.jsonl", "--calibration", "CALIBRATION", *OPTIONS], "nowhere.jsonl"),
        (["STREAM", "--calibration", "CALIBRATION", *OPTIONS, "--state", "STREAM"], "drift state"),
        (["STREAM", "--calibration", "CALIBRATION", *OPTIONS, "--svg", "no/such/folder.svg"], "no/such"),
    ],
)
def test_bad_input_is_one_clear_line(folder: Path, capsys: Any, words: list[str], message: str) -> None:
    places = {"STREAM": folder / "alike.jsonl", "CALIBRATION": folder / "calibration.jsonl"}
    code, out, err = run(capsys, *(places.get(word, word) for word in words))
    assert code in (1, 2) and not out and message in err, err

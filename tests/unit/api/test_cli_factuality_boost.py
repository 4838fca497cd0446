"""`assay factuality boost`, and calibrating on what it saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from api.cli.exits import CommandError
from api.cli.factuality.group import factuality
from tests.unit.conformal.score_tables import scored_table


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    table, path = scored_table(150, seed=1), tmp_path_factory.mktemp("boost") / "claims.npz"
    truth = np.array([label == "Y" for label in table.labels or ()])
    np.savez(path, offsets=table.offsets, is_supported=truth, good=table.scores["good"], fair=table.scores["fair"])
    return path


def call(*arguments: str) -> Any:
    """The JSON a command prints. Raises what the command raises."""
    done = CliRunner().invoke(factuality, [*arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_a_saved_score_calibrates_on_what_it_has_not_seen(ledger: Path, tmp_path: Path) -> None:
    out, figure = tmp_path / "score.json", tmp_path / "kept.svg"
    options = ["--alpha", "0.2", "--alpha", "0.3", "--fit-share", "0.3", "--calibrate-share", "0.4"]
    found = call("boost", "--claims", str(ledger), *options, "--out", str(out), "--figure", str(figure))
    scores = {row["score"] for row in found["levels"]}
    assert {"good", "fair", "fair~0", "position", "random:0", "logistic", "isotonic", "boosted"} == scores
    assert all(0 <= row[key] <= 1 for row in found["levels"] for key in ("retention", "claims", "empty", "holds"))
    assert found["fitted"]["outputs"] == 45 and figure.read_text().startswith("<svg")

    calibrate = ["calibrate", "--claims", str(ledger), "--score", f"fitted:{out}", "--alpha", "0.2"]
    with pytest.raises(CommandError, match="was fitted on the output"):
        call(*calibrate)
    assert call(*calibrate, "--skip-fitted")["n_outputs"] == 105


def test_bad_requests_are_one_clear_line(ledger: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{")
    cases = [
        (["boost", "--objective", "all"], "--objective must be"),
        (["boost", "--fit-share", "0.9"], "leave outputs to test"),
        (["boost", "--score", "missing"], "no score 'missing'"),
        (["boost", "--alpha", "0.02"], "needs at least"),
        (["calibrate", "--score", f"fitted:{tmp_path / 'bad.json'}"], "not valid JSON"),
        (["calibrate", "--score", f"fitted:{tmp_path / 'none.json'}"], "no fitted score"),
    ]
    for arguments, message in cases:
        with pytest.raises(CommandError, match=message):
            call(*arguments, "--claims", str(ledger))

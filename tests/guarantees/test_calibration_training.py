"""Training in a synthetic world: held-out calibration error falls, accuracy does not, by a reader not used in training."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("trl")

from conformal.linguistic.training.demonstration import demonstrate

pytestmark = [pytest.mark.guarantee, pytest.mark.slow, pytest.mark.timeout(2400)]
MARGIN = 0.05


JUDGES = ("neural", "extractive/1")


@pytest.fixture(scope="module", params=[0, 1])
def tables(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Judge to model to figure, of a whole run."""
    report = demonstrate(tmp_path_factory.mktemp("world"), seed=request.param)
    found: dict[str, Any] = report["tables"]
    return found


@pytest.mark.parametrize("reader", JUDGES)
def test_the_held_out_error_falls(tables: dict[str, Any], reader: str) -> None:
    """The whole interval of the change lies below zero; the second stage falls below the first."""
    judged = tables[reader]
    assert judged["reinforced"]["ece"]["change_high"] < 0.0
    assert judged["reinforced"]["ece"]["value"] < judged["supervised"]["ece"]["value"]
    assert judged["reinforced"]["brier"]["change_high"] < 0.0


@pytest.mark.parametrize("reader", JUDGES)
def test_accuracy_does_not_fall(tables: dict[str, Any], reader: str) -> None:
    """No fall that the 95 % interval tells from none, and none of more than five points."""
    accuracy = tables[reader]["reinforced"]["accuracy"]
    assert accuracy["change_high"] >= 0.0 and accuracy["change"] > -MARGIN


def test_the_gain_is_not_bought_by_silence_or_by_the_reader(tables: dict[str, Any]) -> None:
    """Answers are not withheld, and the judge that was not trained on sees what the parser that was sees."""
    judged, trained_on = tables["neural"]["reinforced"], tables["stated (trained on)"]["reinforced"]
    assert judged["no_answer"]["value"] < 0.02
    assert abs(judged["ece"]["value"] - trained_on["ece"]["value"]) < 0.05

"""The integer programmes: what they promise about bounds and costs, and the lists they find."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.unit.watermark.stealing.worlds import VOCABULARY, World, world
from watermark.attacks.stealing.integer_program import steal_by_program
from watermark.attacks.stealing.items import ListClasses
from watermark.attacks.stealing.program_settings import SETTINGS, Answers, ProgramSettings, critical_counts
from watermark.attacks.stealing.signed_counts import steal_by_counts
from watermark.detection import DetectOptions
from watermark.errors import AttackError
from watermark.nulls import binomial

pytest.importorskip("scipy")
ALPHA = 3.2e-5  # z = 4


def answers_of(made: World, alpha: float = ALPHA) -> Answers:
    sides = [[made.scheme.detect(text, DetectOptions(alpha=alpha)) for text in texts] for texts in (made.marked, made.natural)]
    verdicts = [np.array([seen.log_p <= math.log(alpha) for seen in side]) for side in sides]
    greens = [np.array([seen.test["green"] for seen in side]) for side in sides]
    return Answers(verdicts[0], verdicts[1], greens[0], greens[1])


def test_critical_counts_are_the_rule():
    counts = critical_counts(np.array([0, 10, 100, 100]), 0.25, 1e-3)
    assert counts[0] == 1
    for length, count in ((10, int(counts[1])), (100, int(counts[2]))):
        assert binomial.log_tail(count, length, 0.25) <= math.log(1e-3) < binomial.log_tail(count - 1, length, 0.25)


@pytest.mark.parametrize("kind,lists", [("unigram", 1), ("unigram-3", 3)])
def test_vanilla_reaches_published_precision_and_counts_find_more(kind: str, lists: int):
    made = world(kind, texts=2000)
    classes, truth = ListClasses(lists), made.scheme.lists()
    program = steal_by_program(made.marked, made.natural, VOCABULARY, ProgramSettings(alpha=ALPHA), classes, answers_of(made))
    counted = steal_by_counts(made.marked, made.natural, VOCABULARY, classes)
    precision = truth[program.masks].mean()
    assert precision >= 0.93
    assert counted.masks.sum() > program.masks.sum()
    assert truth[counted.masks].mean() > precision
    assert program.details["status"] == ["optimal"]
    assert program.details["gap"] == [0.0]


def test_whole_colours_meet_every_bound_with_fewer_greens_than_the_truth():
    made = world("unigram", texts=150)
    truth = made.scheme.lists()[0]
    settings = ProgramSettings(alpha=ALPHA, integral=True, gap=1e-6, time_limit=30)
    stolen = steal_by_program(made.marked, made.natural, VOCABULARY, settings, None, answers_of(made))
    mask = stolen.masks[0]
    assert stolen.details["violation"] == pytest.approx(0, abs=1e-6)
    answers = answers_of(made)
    for text, verdict in zip((*made.marked, *made.natural), (*answers.marked, *answers.natural)):
        distinct = np.unique(text)
        bound = critical_counts(np.array([len(distinct)]), 0.25, ALPHA)[0]
        assert (mask[distinct].sum() >= bound) == verdict
    f_w = np.bincount(np.concatenate([np.unique(text) for text in made.marked]), minlength=VOCABULARY)
    assert not mask[f_w == 0].any()
    assert mask.sum() < truth.sum()


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_setting_beats_a_guess(setting: str):
    made = world("unigram")
    settings = ProgramSettings(setting, alpha=ALPHA, marked_slack=0.9, natural_slack=0.9)
    stolen = steal_by_program(made.marked, made.natural, VOCABULARY, settings, None, answers_of(made))
    precision = made.scheme.lists()[stolen.masks].mean()
    assert precision > {"vanilla-as1": 0.85, "oracle-as1": 0.85, "pro-as1": 0.85, "as2": 0.75}[setting]
    assert len(stolen.details["status"]) == (2 if setting == "pro-as1" else 1)


def test_flags_drop_texts_and_survive_wrong_labels():
    made = world("unigram", texts=150)
    swapped = [*made.marked[:140], *made.natural[140:]], [*made.natural[:140], *made.marked[140:]]
    settings = ProgramSettings("as2", flags=(0.9, 0.95))
    stolen = steal_by_program(*swapped, VOCABULARY, settings)
    assert made.scheme.lists()[stolen.masks].mean() > 0.5
    assert stolen.details["status"] == ["optimal", "optimal"]


def test_wrong_labels_never_make_it_infeasible():
    made = world("unigram", texts=150)
    stolen = steal_by_program(made.marked, made.marked, VOCABULARY, ProgramSettings(alpha=ALPHA))
    assert stolen.details["violation"] > 1


def test_token_costs_steer():
    made = world("unigram", texts=150)
    dear = np.ones(VOCABULARY)
    dear[:100] = 50.0
    plain = steal_by_program(made.marked, made.natural, VOCABULARY)
    steered = steal_by_program(made.marked, made.natural, VOCABULARY, ProgramSettings(token_costs=dear))
    assert steered.masks[0, :100].sum() < plain.masks[0, :100].sum()


def test_refusals():
    text = [np.array([1, 2, 3])]
    with pytest.raises(AttackError, match="no setting"):
        steal_by_program(text, text, 10, ProgramSettings("classic"))
    with pytest.raises(AttackError, match="flags"):
        steal_by_program(text, text, 10, ProgramSettings(flags=(0.5, 0.6)))
    with pytest.raises(AttackError, match="green counts"):
        steal_by_program(text, text, 10, ProgramSettings("oracle-as1"))
    with pytest.raises(AttackError, match="answers"):
        steal_by_program(text, text, 10, None, None, Answers(np.array([True]), np.array([True])))
    with pytest.raises(AttackError, match="slacks"):
        steal_by_program(text, text, 10, ProgramSettings("as2", marked_slack=0.0))
    with pytest.raises(AttackError, match="token_costs"):
        steal_by_program(text, text, 10, ProgramSettings(token_costs=np.ones(3)))


@pytest.mark.slow
def test_full_vocabulary():
    made = world("unigram", texts=3000, length=200, vocab_size=50272)
    program = steal_by_program(made.marked, made.natural, 50272, ProgramSettings(alpha=ALPHA), None, answers_of(made))
    counted = steal_by_counts(made.marked, made.natural, 50272)
    truth = made.scheme.lists()
    assert truth[program.masks].mean() >= 0.92
    assert truth[counted.masks].mean() >= 0.98
    assert counted.masks.sum() > 3 * program.masks.sum()

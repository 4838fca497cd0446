"""Results for people: words, coloured tokens, and a page that is safe to open."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from watermark import rendering
from watermark.detection import Detection, Span, TokenScore
from watermark.detectors.key_search import KeyResult
from watermark.examination import Examination
from watermark.rendering import advice, format_p, page, segments, summary, token_pieces, verdict_line
from watermark.rendering_chart import moving_mean, score_chart
from watermark.tokenization import Encoded

TEXT = "<b>Hi & bye</b>"
OFFSETS = np.array([[0, 3], [3, 5], [6, 7], [8, 11], [11, 15], [11, 15]])


def detection(green: bool = True, log_p: float | None = -20.0, distinct: int = 200) -> Detection:
    scores = [0.2, 1.4, 2.5, 5.0, 0.0, 1.0]
    tokens = tuple(
        TokenScore(i, float(i % 2) if green else scores[i], bool(i % 2) if green else None, i != 5) for i in range(1, 6)
    )
    return Detection(
        "green-list", "lm/1", 6, 5, 0.001, log_p, {"method": "binomial"}, distinct, 60,
        num_green=3 if green else None, z_score=1.5 if green else None, statistic=2.0, reference_p_value=0.07,
        warnings=("a <warning>",), tokens=tokens, spans=(Span(2, 4, 1e-5),),
    )  # fmt: skip


def examination(found: Detection | None = None, text: bool = True) -> Examination:
    encoded = Encoded(np.arange(6), OFFSETS) if text else None
    return Examination("d<oc>", found or detection(), np.arange(6), "c" * 64, (), TEXT if text else None, encoded)


@pytest.mark.parametrize(
    ("log_p", "shown"),
    [
        (0.0, "1"),
        (math.log(0.0123), "0.0123"),
        (math.log(3.2e-12), "3.2e-12"),
        (-5000.0, "3.4e-2172"),
        (math.log(9.97e-7), "1.0e-6"),
    ],
)
def test_p_values_are_shown_without_underflow(log_p: float, shown: str) -> None:
    assert format_p(log_p) == shown


def test_words() -> None:
    assert verdict_line(detection()).startswith("watermarked: p = 2.1e-9 (alpha 0.001)")
    assert verdict_line(detection(log_p=-1.0)).startswith("no watermark detected: p = 0.3679")
    assert verdict_line(detection(log_p=None)).startswith("inconclusive: no p-value")
    assert advice(detection()) is None
    hint = advice(detection(log_p=-1.0, distinct=40))
    assert hint is not None and "40 independently scored" in hint and "60 would suffice" in hint
    drawn = advice(replace(detection(log_p=-1.0), least_p=0.01))
    assert drawn is not None and "--runs" in drawn and "0.01" in drawn
    lines = "\n".join(summary(examination()))
    for part in ("green tokens: 3 of 5", "z score: 1.500", "tokens 2-4", "c" * 64, "warning: a <warning>", "reference: 0.07"):
        assert part in lines
    results = tuple(KeyResult(str(i), detection(log_p=-20.0 if i else -1.0), -1.0) for i in range(2))
    searched = Examination("a", detection(), np.arange(6), None, results)
    assert "keys tried: 2, 1 found" in "\n".join(summary(searched))


def test_pieces_cover_the_text_once() -> None:
    assert "".join(token_pieces(examination())) == TEXT
    assert token_pieces(examination()) == ["<b>", "Hi", " &", " bye", "</b>", ""]
    assert token_pieces(examination(text=False)) == [f"{i} " for i in range(6)]


def test_colours() -> None:
    shown = segments(examination(), token_pieces(examination()))
    assert [segment.kind for segment in shown] == ["plain", "green", "red", "green", "red", "repeat"]
    assert [segment.in_span for segment in shown] == [False, False, True, True, False, False]
    assert shown[5].title == "token 5, id 5, score 1, not counted"
    scored = segments(examination(detection(green=False)), [""] * 6)
    assert [segment.kind for segment in scored] == ["plain", "level-1", "level-2", "level-3", "level-0", "repeat"]


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self._in_text = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self._in_text = self._in_text or ("class", "text") in attrs

    def handle_endtag(self, tag: str) -> None:
        self._in_text = self._in_text and tag != "div"

    def handle_data(self, data: str) -> None:
        if self._in_text:
            self.text += data


def test_the_page_is_self_contained_escaped_and_complete() -> None:
    made = page([examination(), examination(detection(green=False))])
    reader = Reader()
    reader.feed(made)
    assert not {"script", "link", "img", "iframe", "b", "warning", "oc"} & set(reader.tags)
    assert not any(name.startswith("on") or name in ("href", "src") for name, _ in reader.attributes)
    assert not re.search(r"https?://|url\(", made)
    assert reader.text == TEXT + TEXT and reader.tags.count("svg") == 2
    for part in ("c" * 64, "watermarked", "p = 2.1e-9", "a &lt;warning&gt;", 'class="green span"', "default-src 'none'"):
        assert part in made


def test_long_texts_are_shown_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "MAX_SHOWN_TOKENS", 3)
    made = page([examination()])
    assert "Only the first 3 tokens are shown" in made and made.count('title="token') == 3


def test_the_figure_shows_what_was_counted() -> None:
    rng = np.random.default_rng(0)
    tokens = tuple(TokenScore(i, float(rng.random()), None, i % 3 > 0) for i in range(3000))
    found = Detection("gumbel", "d", 3000, 3000, 0.01, -1.0, {}, 2000, 50, tokens=tokens, spans=(Span(500, 900, 1e-6),))
    figure = score_chart(found)
    points = re.findall(r'points="([^"]*)"', figure)[0].split()
    assert 100 < len(points) <= 400 and figure.count("<rect") == 1 and "nan" not in figure
    assert score_chart(Detection("gumbel", "d", 0, 0, 0.01, None, {}, 0, 50)) == ""
    constant = tuple(TokenScore(i, 1.0, None, True) for i in range(5))
    assert "nan" not in score_chart(Detection("gumbel", "d", 5, 5, 0.01, -1.0, {}, 5, 50, tokens=constant))
    infinite = (*constant, TokenScore(5, math.inf, None, True))
    assert score_chart(Detection("exp", "d", 6, 6, 0.01, -1.0, {}, 6, 50, tokens=infinite)) == ""


def test_moving_means() -> None:
    means, window = moving_mean(np.arange(40.0))
    assert window == 10 and means[0] == 4.5 and means.size == 31
    assert moving_mean(np.array([2.0, 4.0]))[0].tolist() == [3.0]

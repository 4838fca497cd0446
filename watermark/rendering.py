"""Results for people: a verdict in words, coloured tokens, and a self-contained page. Pure functions; nothing secret goes in."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from watermark.detection import TYPICAL_ENTROPY_NATS, Detection, TokenScore
from watermark.examination import Examination
from watermark.rendering_chart import score_chart

VERDICTS = {"watermarked": "watermarked", "not_detected": "no watermark detected", "inconclusive": "inconclusive"}
# Tokens a page colours one by one; a longer text is shown up to there.
MAX_SHOWN_TOKENS = 50_000
# From which score on a token counts as weak, fair and strong evidence, where no green list says yes or no.
_LEVELS = {"synthid": (0.55, 0.65, 0.75)}
_DEFAULT_LEVELS = (1.0, 2.0, 3.5)


@dataclass(frozen=True)
class Segment:
    """A token as people see it. `kind`: green, red, repeat (left out of the test), plain, or level-0 .. level-3."""

    text: str
    kind: str
    title: str
    in_span: bool


def verdict_line(detection: Detection) -> str:
    """The verdict, the p-value and what it was tested against."""
    p = "no p-value" if detection.log_p is None else f"p = {format_p(detection.log_p)}"
    return f"{VERDICTS[detection.decision]}: {p} (alpha {detection.alpha:g}), {detection.scheme}, {detection.dialect}"


def format_p(log_p: float) -> str:
    """A p-value from its natural logarithm, also where a float would underflow."""
    exponent = log_p / math.log(10)
    if exponent > -4:
        return f"{math.exp(min(log_p, 0.0)):.4g}"
    whole = math.floor(exponent)
    digits = f"{10 ** (exponent - whole):.1f}"
    return f"1.0e{whole + 1}" if digits == "10.0" else f"{digits}e{whole}"


def advice(detection: Detection) -> str | None:
    """What an inconclusive result needs; None for the others."""
    if detection.decision != "inconclusive":
        return None
    if detection.least_p > detection.alpha and detection.num_distinct >= detection.sufficient_tokens:
        return (
            f"too few draws to decide: the smallest p-value they can give is {detection.least_p:.3g}, above alpha "
            f"{detection.alpha:g}; ask for more with --runs"
        )
    return (
        f"too little to decide: {detection.num_distinct} independently scored tokens; at a typical entropy of "
        f"{TYPICAL_ENTROPY_NATS:g} nats a token, {detection.sufficient_tokens} would suffice at alpha {detection.alpha:g}"
    )


def summary(found: Examination) -> list[str]:
    """The result in lines of plain text: verdict, what it needs if inconclusive, figures, warnings."""
    hint = advice(found.detection)
    rows = [f"  {name}: {value}" for name, value in figures(found)]
    warnings = [f"  warning: {sentence}" for sentence in found.detection.warnings]
    return [verdict_line(found.detection), *([f"  {hint}"] if hint else []), *rows, *warnings]


def figures(found: Examination) -> list[tuple[str, str]]:
    """Names and values for people, in order; what the dialect does not have is left out."""
    detection = found.detection
    green, z, p = detection.num_green, detection.z_score, detection.reference_p_value
    rows = [
        ("tokens", f"{detection.num_tokens} ({detection.num_tokens_scored} scored, {detection.num_distinct} independently)"),
        ("green tokens", None if green is None else f"{green} of {detection.num_tokens_scored}"),
        ("z score", None if z is None else f"{z:.3f}"),
        ("statistic", None if detection.statistic is None else f"{detection.statistic:.6g}"),
        ("p-value of the reference", None if p is None else f"{p:.4g}"),
        ("test", str(detection.test.get("method", "none"))),
        ("spans", "; ".join(f"tokens {s.start}-{s.end} (p = {s.p_value:.2g})" for s in detection.spans) or None),
        ("key", found.key),
    ]
    if found.keys:
        marked = sum(result.detection.decision == "watermarked" for result in found.keys)
        rows.append(("keys tried", f"{len(found.keys)}, {marked} found in the text (p-values adjusted for all)"))
    return [(name, value) for name, value in rows if value is not None]


def segments(found: Examination, pieces: Sequence[str]) -> list[Segment]:
    """Tokens with their colours, at most MAX_SHOWN_TOKENS. `pieces` are the tokens as text (`token_pieces`)."""
    detection = found.detection
    scores = {score.position: score for score in detection.tokens}
    levels = _LEVELS.get(detection.scheme, _DEFAULT_LEVELS)
    covered = np.zeros(len(pieces) + 1, dtype=bool)
    for span in detection.spans:
        covered[span.start : span.end] = True
    out = []
    for position, piece in enumerate(pieces[:MAX_SHOWN_TOKENS]):
        score = scores.get(position)
        title = f"token {position}, id {int(found.tokens[position])}"
        if score is not None:
            title += f", score {score.score:.3g}" + ("" if score.counted else ", not counted")
        out.append(Segment(piece, _kind(score, levels), title, bool(covered[position])))
    return out


def _kind(score: TokenScore | None, levels: Sequence[float]) -> str:
    if score is None:
        return "plain"
    if not score.counted:
        return "repeat"
    if score.green is not None:
        return "green" if score.green else "red"
    return f"level-{sum(score.score >= level for level in levels)}"


def token_pieces(found: Examination) -> list[str]:
    """The tokens as text: the characters each one adds where the text is known, otherwise their ids."""
    if found.text is None or found.encoded is None:
        return [f"{token} " for token in found.tokens[:MAX_SHOWN_TOKENS].tolist()]
    pieces, shown = [], 0
    for end in found.encoded.offsets[:MAX_SHOWN_TOKENS, 1].tolist():
        end = max(end, shown)
        pieces.append(found.text[shown:end])
        shown = end
    return pieces


_STYLE = """
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.4rem}h2{font-size:1.1rem}
.watermarked{border-left:.5rem solid #b3541e;padding-left:.8rem}
.not_detected{border-left:.5rem solid #4a7c59;padding-left:.8rem}
.inconclusive{border-left:.5rem solid #888;padding-left:.8rem}
table{border-collapse:collapse}td{padding:.1rem .8rem .1rem 0;vertical-align:top;overflow-wrap:anywhere}
.text{white-space:pre-wrap;overflow-wrap:anywhere;border:1px solid #8886;padding:.8rem}
.green{background:#7bc47f88}.red{background:#e57f7f66}.repeat{color:#888}
.level-1{background:#f4d58d55}.level-2{background:#f4b95d88}.level-3{background:#e8842baa}
.span{text-decoration:underline;text-decoration-thickness:2px}
.note{color:#8a5a00}svg{max-width:100%;height:auto}
"""


def page(examinations: Iterable[Examination], title: str = "Watermark detection") -> str:
    """One HTML page without scripts or anything from elsewhere; all text is escaped. It names keys by their commitments."""
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{html.escape(title)}</h1>",
        *(_section(found) for found in examinations),
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def _section(found: Examination) -> str:
    detection = found.detection
    sentences = [*([text] if (text := advice(detection)) else []), *detection.warnings]
    rows = "".join(f"<tr><td>{html.escape(name)}</td><td>{html.escape(value)}</td></tr>" for name, value in figures(found))
    shown = segments(found, token_pieces(found))
    coloured = "".join(_element(segment) for segment in shown)
    cut = f"<p>Only the first {len(shown)} tokens are shown.</p>" if len(shown) < detection.num_tokens else ""
    parts = [
        f'<section class="{detection.decision}"><h2>{html.escape(str(found.id))}</h2>',
        f"<p><strong>{html.escape(verdict_line(detection))}</strong></p>",
        *(f'<p class="note">{html.escape(sentence)}</p>' for sentence in sentences),
        f"<table>{rows}</table></section>",
        score_chart(detection),
        f"<p>{legend(detection)}</p>",
        f'<div class="text">{coloured}</div>{cut}',
    ]
    return "\n".join(parts)


def legend(detection: Detection) -> str:
    """What the colours mean."""
    green = any(token.green is not None for token in detection.tokens)
    colours = "green: in the key's list; red: not in it" if green else "the darker, the more a token speaks for the mark"
    return f"{colours}; grey: repeated, left out of the test; underlined: stretches that carry the mark by themselves"


def _element(segment: Segment) -> str:
    names = segment.kind + (" span" if segment.in_span else "")
    return f'<span class="{names}" title="{html.escape(segment.title)}">{html.escape(segment.text)}</span>'

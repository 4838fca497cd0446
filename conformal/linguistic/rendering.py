"""An evaluation for people: lines for a terminal, and a self-contained page. Pure functions."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

from conformal.linguistic.figures import reliability_diagram

_ROWS = ("accuracy", "mean_confidence", "brier", "log_score", "ece", "debiased_ece")
_NAMES = {
    "accuracy": "accuracy",
    "mean_confidence": "mean confidence",
    "brier": "Brier score (0 to 2)",
    "log_score": "log score (nats)",
    "ece": "ECE",
    "debiased_ece": "ECE without noise",
}
_TESTS = {"top_label": "top answer", "class_wise": "every answer", "distribution": "whole distribution"}


def verdict(report: Mapping[str, Any]) -> str:
    """What the tests say of a reader, in one sentence. Not rejected is not the same as calibrated."""
    if not report["answered"]:
        return "no answer was read from any text"
    rejected = report["tests"]["rejected"]
    if rejected:
        return "miscalibrated: rejected for " + ", ".join(_TESTS[name] for name in rejected)
    return "miscalibration not shown (which does not show calibration)"


def summary(found: Mapping[str, Any]) -> str:
    """All readers, line by line."""
    lines = [f"{found['questions']} questions about {found['paragraphs']} texts"]
    for name, report in found["readers"].items():
        lines += ["", f"reader {name}: {verdict(report)}", *_reader_lines(report, found["settings"])]
    for one in found["disagreement"]:
        first, second = one["readers"]
        shown = "no question in common" if one["total_variation"] is None else (
            f"total variation {one['total_variation']:.3f}, another answer on {one['other_answer']:.1%} of {one['both']}"
        )  # fmt: skip
        lines += ["", f"{first} against {second}: {shown}"]
    return "\n".join(lines)


def _reader_lines(report: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    silent = report["non_answers"]
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(silent["reasons"].items(), key=lambda item: -item[1]))
    lines = [f"  non-answers          {silent['count']} ({silent['rate']:.1%})" + (f": {reasons}" if reasons else "")]
    notes = ", ".join(f"{count} {note}" for note, count in sorted(report["notes"].items()))
    lines += [f"  read by convention   {notes}"] if notes else []
    if not report["answered"]:
        return lines
    intervals = report["intervals"] or {}
    for row in _ROWS:
        text = f"  {_NAMES[row]:<20} {report[row]:.4f}"
        if row in intervals:
            text += "  ({:.4f}, {:.4f})".format(*intervals[row])
        if row == "ece":
            noise = report["noise_floor"]
            text += f"  a calibrated reader: {noise['mean']:.4f}, 95 % below {noise['q95']:.4f}"
        lines.append(text)
    parts = report["decomposition"]
    lines.append(
        f"  top answer's Brier   {parts['brier']:.4f} = reliability {parts['reliability']:.4f} - resolution "
        f"{parts['generalized_resolution']:.4f} + uncertainty {parts['uncertainty']:.4f}"
    )
    for name, label in _TESTS.items():
        test = report["tests"][name]
        lines.append(f"  test, {label:<18} p = {test['p_value']:.4g} (n {test['n']}, one question a text)")
    for one in report["sets"]:
        lines.append(f"  sets of {one['level']:.0%} mass     state {one['stated']:.3f}, hold the truth {one['covered']:.3f}")
    bins, bound = settings["bins"], settings["log_floor"]
    lines.append(f"  {bins} bins of equal mass; 95 % intervals by resampled texts; log score bounded at {bound:g}")
    return lines


def page(found: Mapping[str, Any], title: str = "Stated confidence") -> str:
    """A page without script or anything from elsewhere. The diagram stands above the figures where any reader answered."""
    answered = any(report.get("diagram") for report in found["readers"].values())
    drawn = reliability_diagram(found["readers"], title) if answered else "<p>No reader answered a question.</p>"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{html.escape(title)}</title>"
        "<style>body{font-family:sans-serif;margin:2em;max-width:70em}pre{white-space:pre-wrap}"
        "svg{max-width:100%;height:auto}</style>"
        f"</head><body>\n{drawn}\n<pre>{html.escape(_visible(summary(found)))}</pre>\n</body></html>\n"
    )


def _visible(text: str) -> str:
    return "".join(char if char.isprintable() or char == "\n" else "?" for char in text)

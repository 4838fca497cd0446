"""A report for people: plain text, and a static SVG figure. Both are made from the statement alone and need no
script."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from audit.charts import FIGURE_OUTPUT, chartable, charts_height, draw_charts, draw_panels, read_panels
from audit.reports import FIGURE_NAME

_WORDS = {
    "holds": "HOLDS: the evidence supports what was asked",
    "refuted": "REFUTED: the evidence contradicts what was asked",
    "inconclusive": "INCONCLUSIVE: the evidence does not decide",
}
_COLOURS = {True: "#1b7f4d", False: "#b3261e", None: "#8a8a8a"}
_MARKS = {True: "ok", False: "FAILED", None: "missing"}
_ROW, _LEFT, _WIDTH, _TOP = 24, 16, 760, 74
MAX_ROWS = 200
MAX_DETAIL_CHARS = 300


def render_text(statement: Mapping[str, Any]) -> str:
    """The report as text, one fact a line. Control characters are shown, not obeyed."""
    predicate = statement["predicate"]
    request = predicate["request"]
    lines = [
        f"Assay report on audit {_line(predicate['audit'])}",
        "",
        _WORDS.get(predicate["verdict"], _line(predicate["verdict"])),
        "",
        f"kind         {_line(request.get('kind'))}",
        f"provider     {_line(request.get('provider'))}",
        f"auditor      {_line(request.get('auditor'))}",
    ]
    for subject in statement["subject"]:
        lines.append(f"subject      {_line(subject['name'])} {_line(subject['digest']['sha256'])}")
    lines += [
        f"parameters   {_line(json.dumps(request.get('params'), sort_keys=True))}",
        f"requested    {_line(predicate['requestedAt'])}",
        f"evidence of  {_line(predicate['evidenceAt'])}",
        f"request      sha256 {_line(request.get('sha256'))}",
        "",
        "Checks",
    ]
    for number, check in enumerate(predicate["checks"], start=1):
        word = _MARKS[check["ok"]].ljust(7)
        lines.append(f"  {number:>3}  {word}  {_line(check.get('id'))}: {_line(check.get('detail'))}")
    lines += ["", "Outputs"]
    outputs = predicate["outputs"]
    lines += [line for name in sorted(outputs) for line in _output(name, outputs[name])] or ["  none"]
    lines += ["", "Conditions: the verdict rests on these"]
    lines += [f"  - {_line(sentence)}" for sentence in predicate["conditions"]] or ["  none"]
    files = predicate["evidence"]
    total = sum(entry["size"] for entry in files)
    lines += [
        "",
        f"Evidence: {len(files)} files, {total} bytes, under evidence/",
        f"Signed by    {_line(predicate['service']['publicKey'])}",
        "",
        "This text is a rendering; report.dsse.json is what is signed. Verify it offline: assay verify <this folder>",
    ]
    return "\n".join(lines) + "\n"


def _output(name: str, value: Any) -> list[str]:
    """One line an output; a list of objects has one line each."""
    if name == FIGURE_OUTPUT:
        return [f"  {name}: drawn in {FIGURE_NAME}"]
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        lines = [f"    {_line(json.dumps(item))}" for item in value[:MAX_ROWS]]
        more = [f"    and {len(value) - MAX_ROWS} more"] if len(value) > MAX_ROWS else []
        return [f"  {_line(name)}:", *lines, *more]
    return [f"  {_line(name)} = {_line(json.dumps(value))}"]


def _line(value: Any) -> str:
    """One printable line of a value that somebody else wrote."""
    text = str(value)
    text = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)
    return text if len(text) <= MAX_DETAIL_CHARS else text[:MAX_DETAIL_CHARS] + " ..."


def render_figure(statement: Mapping[str, Any]) -> str:
    """An SVG picture of verdict, checks, conditions and outputs; no script, no external reference."""
    predicate = statement["predicate"]
    checks = predicate["checks"][:MAX_ROWS]
    conditions = predicate["conditions"][:MAX_ROWS]
    charts = chartable(predicate["outputs"])
    panels, panels_width, panels_height = draw_panels(read_panels(predicate["outputs"]))
    height = _TOP + _ROW * (len(checks) + len(conditions)) + charts_height(charts) + panels_height + 16
    page = max(_WIDTH, panels_width + 2 * _LEFT)
    title = f"{predicate['request'].get('kind')}: {predicate['verdict']}"
    rows = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{page}" height="{height}" '
        f'viewBox="0 0 {page} {height}" role="img" aria-label={quoteattr(_xml(title))}>',
        f'<rect width="{page}" height="{height}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="30" font-family="sans-serif" font-size="18" fill="#111111">{escape(_xml(title))}</text>',
        f'<text x="{_LEFT}" y="52" font-family="sans-serif" font-size="12" fill="#555555">'
        f"audit {escape(_xml(predicate['audit']))}</text>",
    ]
    y = _TOP
    for check in checks:
        colour, mark = _COLOURS[check["ok"]], _MARKS[check["ok"]]
        rows.append(f'<rect x="{_LEFT}" y="{y - 11}" width="12" height="12" fill="{colour}"/>')
        rows.append(_text(_LEFT + 20, y, f"{mark}  {check.get('id')}: {check.get('detail')}"))
        y += _ROW
    for sentence in conditions:
        rows.append(f'<rect x="{_LEFT}" y="{y - 11}" width="12" height="12" fill="#b26a00"/>')
        rows.append(_text(_LEFT + 20, y, f"condition: {sentence}"))
        y += _ROW
    rows += draw_charts(charts, {name: escape(_xml(name)[:80]) for name in charts}, _LEFT, y - 11)
    if panels:
        below = y - 11 + charts_height(charts)
        rows += [f'<g transform="translate({_LEFT} {below})">', *panels, "</g>"]
    return "\n".join([*rows, "</svg>"]) + "\n"


def _text(x: int, y: int, text: str) -> str:
    shown = _xml(text)
    shown = shown if len(shown) <= 105 else shown[:105] + " ..."
    return f'<text x="{x}" y="{y}" font-family="sans-serif" font-size="13" fill="#111111">{escape(shown)}</text>'


def _xml(value: Any) -> str:
    """Text without the characters that XML forbids."""
    return "".join(char if char.isprintable() else "?" for char in str(value))

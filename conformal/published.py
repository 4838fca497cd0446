"""Readers for the annotated claims that were published with the papers, as their files stand.

- `{"data": [{"prompt", "claims": [{"subclaim", "annotation", "NAME-score", "noise", ...}]}]}` of arXiv 2402.10978, one JSON
  object in a file named .jsonl;
- the same with premise graphs (arXiv 2505.17126), where `claims` and `dep_graph` may be Python literals inside a text.
The score of a claim is its published score plus the noise stored beside it, which breaks ties and belongs to the data.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from typing import Any, Literal

from conformal.claims import ClaimTable, TableBuilder, parse_score
from conformal.errors import LedgerError
from conformal.labels import parse_label

MalformedLabels = Literal["refuse", "false", "strip"]
MAX_FILE_BYTES = 256 * 1024 * 1024
_SUFFIX = "-score"


def read_published(text: str, name: str, malformed: MalformedLabels = "refuse") -> tuple[ClaimTable, tuple[str, ...]]:
    """The table and one sentence for every label that was not in the vocabulary.

    `malformed` says what becomes of such a label: "refuse" raises LedgerError naming output and claim (0-based), "false"
    counts it as false (what the authors' code does), "strip" trims white space first. Raises LedgerError.
    """
    if len(text) > MAX_FILE_BYTES:
        raise LedgerError(f"{name} is larger than {MAX_FILE_BYTES} bytes")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise LedgerError(f"{name} is not one JSON object; a claim ledger is read with --ledger") from None
    data = document.get("data") if isinstance(document, Mapping) else None
    if not isinstance(data, list):
        raise LedgerError(f'{name} must hold {{"data": [...]}}, one entry an output')
    builder, notes = TableBuilder(), []
    for item, entry in enumerate(data):
        where = f"{name}, item {item}"
        record, found = _output(entry, item, where, malformed)
        notes += found
        builder.add(record, where)
    return builder.finish(name), tuple(notes)


def is_published(text: str) -> bool:
    """Whether a file looks like the published ones rather than like a ledger of JSON lines."""
    head = text[:4096].lstrip()
    return head.startswith("{") and '"data"' in head[:64]


def _output(entry: Any, item: int, where: str, malformed: MalformedLabels) -> tuple[dict[str, Any], list[str]]:
    if not isinstance(entry, Mapping):
        raise LedgerError(f"{where}: an entry must be an object")
    claims = _literal(entry.get("claims"), where)
    if not isinstance(claims, list):
        raise LedgerError(f"{where}: claims must be a list")
    premises = _premises(_literal(entry.get("dep_graph"), where), len(claims), where)
    out, notes = [], []
    for index, claim in enumerate(claims):
        here = f"{where}, claim {index}"
        if not isinstance(claim, Mapping):
            raise LedgerError(f"{here}: a claim must be an object")
        label, note = _label(claim, here, malformed)
        notes += note
        out.append(
            {"text": str(claim.get("subclaim", "")), "scores": _scores(claim, here), "label": label, "premises": premises[index]}
        )
    return {"id": f"{item}: {str(entry.get('prompt', ''))[:150]}", "claims": out}, notes


def _literal(value: Any, where: str) -> Any:
    """The value, or what a text that holds it as a Python literal says. Nothing is executed."""
    if not isinstance(value, str):
        return value
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        raise LedgerError(f"{where}: claims or dep_graph is a text that holds no list") from None


def _label(claim: Mapping[str, Any], where: str, malformed: MalformedLabels) -> tuple[str, list[str]]:
    value = claim.get("manual_annotation", claim.get("annotation"))
    if "manual_annotation" in claim:
        if str(value) not in ("1.0", "0.0", "1", "0"):
            raise LedgerError(f"{where}: manual_annotation must be 0 or 1, not {str(value)[:40]!r}")
        return ("Y" if float(value) else "N"), []
    try:
        return parse_label(value, where), []
    except LedgerError as error:
        if malformed == "refuse":
            raise
        if malformed == "strip" and isinstance(value, str):
            return parse_label(value.strip(), where), [f"{error}; white space was stripped as asked"]
        return "N", [f"{error}; counted as false as asked"]


def _scores(claim: Mapping[str, Any], where: str) -> dict[str, float]:
    noise = parse_score(claim.get("noise", 0.0), f"{where}, noise")
    names = [name for name in claim if name.endswith(_SUFFIX)]
    return {name.removesuffix(_SUFFIX): parse_score(_number(claim[name]), f"{where}, {name}") + noise for name in names}


def _number(value: Any) -> Any:
    """Some files hold numbers as text."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _premises(graph: Any, n_claims: int, where: str) -> list[list[int]]:
    """`graph[i][j]` is 1 where claim j is a premise of claim i."""
    if graph is None:
        return [[] for _ in range(n_claims)]
    shaped = isinstance(graph, list) and len(graph) == n_claims and all(isinstance(row, list) for row in graph)
    if not shaped or any(len(row) != n_claims for row in graph):
        raise LedgerError(f"{where}: dep_graph must be a square matrix over the claims")
    return [[j for j, edge in enumerate(row) if edge and j != i] for i, row in enumerate(graph)]

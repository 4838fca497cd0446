"""The monitor's state as strict JSON: settings, calibration scores, the stream so far, and where that led.

Loading feeds the stream again and compares: a state that was edited, cut off or written under other rules is refused.
"""

from __future__ import annotations

import json
import math
from fractions import Fraction
from typing import Any

from conformal.drift.monitor import MAX_FED, DriftMonitor, Scored, Settings, number_to_json
from conformal.errors import LedgerError
from conformal.levels import parse_level

FORMAT = "assay-drift-state/1"
MAX_STATE_CHARS = 256 * 1024 * 1024
MAX_SCORE = 1e300
_TOLERANCE = 1e-9
_MEMBERS = {"format", "settings", "calibration", "fed", "alarm_index", "evidence"}
_SETTINGS = {"alpha", "level", "tests", "bet", "step", "comparator", "seed", "described"}


def write_state(monitor: DriftMonitor) -> str:
    """The state as one JSON object."""
    settings = monitor.settings
    return json.dumps(
        {
            "format": FORMAT,
            "settings": {
                **{name: str(getattr(settings, name)) for name in ("alpha", "level", "step", "bet", "comparator")},
                "tests": list(settings.tests),
                "seed": settings.seed,
                "described": settings.described,
            },
            "calibration": [[identity, number_to_json(score)] for identity, score in monitor.calibration],
            "fed": [[identity, number_to_json(score)] for identity, score in monitor.fed],
            "alarm_index": monitor.alarm_index,
            "evidence": monitor.readings[-1].evidence if monitor.readings else {},
        },
        allow_nan=False,
    )


def read_state(text: str) -> DriftMonitor:
    """The monitor as it stood. Raises LedgerError for anything that `write_state` has not written."""
    if len(text) > MAX_STATE_CHARS:
        raise LedgerError(f"a drift state has at most {MAX_STATE_CHARS} characters")
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise LedgerError("the drift state is not valid JSON") from None
    if not isinstance(document, dict) or set(document) != _MEMBERS or document["format"] != FORMAT:
        raise LedgerError(f"the drift state is no {FORMAT} object with exactly the members {', '.join(sorted(_MEMBERS))}")
    monitor = DriftMonitor(_read_settings(document["settings"]), _read_scored(document["calibration"], "calibration"))
    for identity, score in _read_scored(document["fed"], "fed"):
        monitor.feed(identity, score)
    evidence = monitor.readings[-1].evidence if monitor.readings else {}
    if monitor.alarm_index != document["alarm_index"] or not _is_close(evidence, document["evidence"]):
        raise LedgerError("the drift state contradicts itself: feeding its stream again gives other evidence; it was changed")
    return monitor


def _is_close(found: dict[str, float], stored: Any) -> bool:
    if not isinstance(stored, dict) or set(stored) != set(found):
        return False
    return all(
        type(stored[name]) in (int, float) and math.isclose(found[name], stored[name], rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
        for name in found
    )


def _read_settings(value: Any) -> Settings:
    if not isinstance(value, dict) or set(value) != _SETTINGS:
        raise LedgerError(f"the drift state's settings must have exactly the members {', '.join(sorted(_SETTINGS))}")
    texts = [value[name] for name in ("alpha", "level", "step", "bet", "comparator")]
    tests, described = value["tests"], value["described"]
    if not all(isinstance(text, str) for text in texts) or not isinstance(tests, list) or not _is_text_map(described):
        raise LedgerError("the drift state's settings have a member of the wrong type")
    levels: list[Fraction] = [parse_level(text, name) for text, name in zip(texts[:3], ("alpha", "level", "step"))]
    if not all(isinstance(test, str) for test in tests):
        raise LedgerError("the drift state's tests must be texts")
    return Settings(levels[0], levels[1], tuple(tests), texts[3], levels[2], texts[4], value["seed"], described)


def _is_text_map(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())


def _read_scored(value: Any, name: str) -> list[Scored]:
    if not isinstance(value, list) or len(value) > MAX_FED:
        raise LedgerError(f"the drift state's {name} must be a list of at most {MAX_FED} pairs")
    out: list[Scored] = []
    for place, pair in enumerate(value):
        if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], str):
            raise LedgerError(f"the drift state's {name}, entry {place}: must be [id, conformity score]")
        score = pair[1]
        if score != "-Infinity" and (type(score) not in (int, float) or not abs(score) < MAX_SCORE):
            raise LedgerError(f"the drift state's {name}, entry {place}: {str(score)[:40]!r} is no conformity score")
        out.append((pair[0], -math.inf if score == "-Infinity" else float(score)))
    return out


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)

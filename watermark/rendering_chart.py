"""The evidence along a text as an SVG figure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from watermark.detection import Detection

WIDTH, HEIGHT = 720, 160
_LEFT, _TOP, _BOTTOM = 48, 10, 24
MAX_POINTS = 400
MIN_WINDOW = 10


def score_chart(detection: Detection) -> str:
    """Mean score of the counted tokens in a moving window, over token positions; found spans shaded. Empty without tokens."""
    counted = [(token.position, token.score) for token in detection.tokens if token.counted]
    if len(counted) < 2:
        return ""
    places = np.array([position for position, _ in counted], dtype=np.float64)
    scores = np.array([score for _, score in counted], dtype=np.float64)
    if not np.isfinite(scores).all():
        return ""
    means, window = moving_mean(scores)
    centres, _ = moving_mean(places)
    pick = np.unique(np.linspace(0, means.size - 1, min(MAX_POINTS, means.size)).astype(np.int64))
    low, high = float(means.min()), float(means.max())
    margin = (high - low) * 0.1 or max(abs(high), 1.0) * 0.1
    low, high = low - margin, high + margin
    last = max(detection.num_tokens - 1, 1)

    def x(position: float) -> float:
        return _LEFT + position / last * (WIDTH - _LEFT - 10)

    def y(score: float) -> float:
        return _TOP + (high - score) / (high - low) * (HEIGHT - _TOP - _BOTTOM)

    shades = "".join(
        f'<rect x="{x(span.start):.1f}" y="{_TOP}" width="{max(x(span.end) - x(span.start), 1):.1f}" '
        f'height="{HEIGHT - _TOP - _BOTTOM}" fill="#e8842b" fill-opacity=".18"/>'
        for span in detection.spans
    )
    line = " ".join(f"{x(float(centres[i])):.1f},{y(float(means[i])):.1f}" for i in pick)
    labels = (
        f'<text x="{_LEFT - 4}" y="{_TOP + 8}" text-anchor="end">{high:.2g}</text>'
        f'<text x="{_LEFT - 4}" y="{HEIGHT - _BOTTOM}" text-anchor="end">{low:.2g}</text>'
        f'<text x="{_LEFT}" y="{HEIGHT - 6}">token 0</text>'
        f'<text x="{WIDTH - 10}" y="{HEIGHT - 6}" text-anchor="end">{last}</text>'
        f'<text x="{WIDTH // 2}" y="{HEIGHT - 6}" text-anchor="middle">mean score of {window} counted tokens</text>'
    )
    axis = f'<path d="M{_LEFT} {_TOP}V{HEIGHT - _BOTTOM}H{WIDTH - 10}" fill="none" stroke="currentColor" stroke-opacity=".5"/>'
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="score along the text" '
        f'font-size="11" font-family="sans-serif" fill="currentColor">{shades}{axis}'
        f'<polyline points="{line}" fill="none" stroke="#b3541e" stroke-width="1.5"/>{labels}</svg>'
    )


def moving_mean(values: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], int]:
    """Means over a window of a twentieth of the values (at least MIN_WINDOW, at most all), and that window's length."""
    window = min(values.size, max(MIN_WINDOW, values.size // 20))
    sums = np.concatenate([[0.0], np.cumsum(values)])
    return (sums[window:] - sums[:-window]) / window, window

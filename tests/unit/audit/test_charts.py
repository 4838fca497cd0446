"""Which outputs get bars, and that bars are proportional and well-formed."""

from __future__ import annotations

from xml.etree import ElementTree

from audit.charts import BAR_WIDTH, MAX_BARS, chartable, charts_height, draw_charts


def test_only_flat_lists_of_plain_numbers_are_charted() -> None:
    outputs = {
        "counts": [3, 0, 6],
        "accuracy_by_group": ["0.5", "1.000000"],
        "accuracy": "0.75",
        "nested": [[1, 2], [3, 4]],
        "missing": [None, 1],
        "negative": [-1, 2],
        "words": ["1e9999", "nan"],
        "flags": [True, False],
        "long": [1] * (MAX_BARS + 1),
        "single": [5],
    }
    assert chartable(outputs) == {"counts": [3.0, 0.0, 6.0], "accuracy_by_group": [0.5, 1.0]}


def test_bars_are_proportional_and_fit() -> None:
    charts = {"counts": [3.0, 0.0, 6.0]}
    rows = draw_charts(charts, {"counts": "counts &lt;b&gt;"}, 16, 100)
    root = ElementTree.fromstring("<svg>" + "".join(rows) + "</svg>")
    widths = [float(bar.attrib["width"]) for bar in root.iter("rect")]
    assert widths == [BAR_WIDTH / 2, 0.0, float(BAR_WIDTH)]
    lowest = max(float(item.attrib["y"]) for item in root)
    assert lowest <= 100 + charts_height(charts)
    assert next(root.iter("text")).text == "counts <b>"


def test_all_zero_counts_draw_empty_bars() -> None:
    rows = draw_charts({"counts": [0.0, 0.0]}, {"counts": "counts"}, 0, 0)
    assert sum('width="0.0"' in row for row in rows) == 2

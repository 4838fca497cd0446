"""The figure of a stealing audit: precision, calls, scrubbing and spoofing against the number of texts, one line an attack."""

from __future__ import annotations

import math
from collections.abc import Callable

from watermark.attacks.stealing.report import Share, StealingReport, Trial
from watermark.errors import AttackError
from watermark.figures import Line, Panel, render


def figure_svg(report: StealingReport) -> str:
    """Static SVG, no script. Budgets and calls stand on decimal logarithms. Raises AttackError for a report without trials."""
    if not report.trials:
        raise AttackError("the stealing report has no trials to draw")
    budgets = [math.log10(trial.budget) for trial in report.trials]
    x_range = (min(budgets), max(budgets)) if max(budgets) > min(budgets) else (budgets[0] - 0.5, budgets[0] + 0.5)
    most = max(1.0, *(math.log10(max(1, trial.called)) for trial in report.trials))

    def rates(share: Callable[[Trial], Share]) -> tuple[Line, ...]:
        lines = []
        for index, attack in enumerate(report.attacks):
            shares = [(math.log10(trial.budget), share(trial)) for trial in report.curve(attack)]
            known = [(x, found.rate, found.interval) for x, found in shares if found.rate is not None and found.interval]
            points = tuple((x, rate) for x, rate, _ in known)
            band = tuple((x, *interval) for x, _, interval in known)
            if points:
                lines.append(Line(attack, points, band, index, index // 8))
        return tuple(lines)

    called = tuple(
        Line(
            attack,
            tuple((math.log10(trial.budget), math.log10(max(1, trial.called))) for trial in report.curve(attack)),
            (),
            index,
            index // 8,
        )
        for index, attack in enumerate(report.attacks)
    )
    label = "log10 of marked texts seen"
    panels = [
        Panel(
            "Precision of what is called green",
            label,
            "green share",
            rates(lambda t: t.precision),
            x_range,
            marks=(report.green_share,),
        ),
        Panel("Called green", label, "log10 of calls", called, x_range, (0.0, math.ceil(most))),
        Panel("Scrubbing", label, "no longer detected", rates(lambda t: t.scrub(report.held_out, report.alpha)), x_range),
        Panel("Spoofing", label, "detected as marked", rates(lambda t: t.spoof(report.alpha)), x_range),
    ]
    return render(panels, f"Stealing: {report.label}", columns=2)

"""The black-box probe (ProPILE, arXiv 2307.01881) with exact error control: does a model link a value to a name?

At the best tier that the model offers: ranks among same-format nulls (full), bounds of these (top-k), or hits in sampled answers
(text). Invented people go through the same code and decide whether the run says anything at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from privacy.people import Person
from privacy.probes.model import Cancelled, ProbedModel, Progress
from privacy.probes.plan import ProbePlan
from privacy.probes.results import ProbeResult

Release = Callable[[str, str], str]
"""(type, value) -> commitment, of a value that may be scored now (`privacy.consent.Guard.release`). Raises ConsentError."""
Commit = Callable[[str, str], str]
"""(type, value) -> commitment, of a value that the auditor invented (`privacy.redaction.Redactor.commit`)."""
Keep = Callable[[str, Callable[[], bytes]], bytes]
"""(name, make) -> bytes: what is kept under a name, made and kept where it is not there yet. Holds ranks and counts only."""


def run_black_box(
    plan: ProbePlan,
    people: Sequence[Person],
    model: ProbedModel,
    reference: ProbedModel | None = None,
    *,
    release: Release | None = None,
    commit: Commit,
    keep: Keep | None = None,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> ProbeResult:
    """Probe `people`, the decoys among them, as planned.

    `release` is called once for every consented value, before anything of it is scored; without it no consented person is taken.
    `keep` makes a run resumable: what was measured of an item is kept, and not measured again.
    Raises PlanError before anything is asked; ConsentError; BoundaryError where the tokenizer joins prompt and value;
    ModelAccessError; ScoreError for NaN; ProbeCancelledError.
    """
    raise NotImplementedError

"""The numbered lines a reader sees: every check, the error budget, the conditions, the verdict.

Checks beyond those of `zk.verifier.bundle`:

 commitment.NAME    a published record parses; which proofs given here speak about it
 files.NAME         the other half of a proof pair is there
 registration.NAME  the published registration is that of a run proven here
 description.NAME   run.json, dataset.json or model.json say what the proofs say

Nothing here decides trust: a description or a record never turns a missing proof into an established fact.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from typing import Any

from zk.protocol.codec import Reader
from zk.protocol.errors import VerificationError
from zk.protocol.programs.dataset import DatasetSpec
from zk.protocol.programs.spec import TrainingSpec
from zk.protocol.record import KIND_NAMES, Record
from zk.protocol.registration import Registration
from zk.protocol.security import bits_of
from zk.protocol.statement import CERT, Statement
from zk.verifier.bundle import HOLDS, INCONCLUSIVE, REFUTED, BundleVerdict, Check, RunSummary, verify_bundle
from zk.verifier.files import Collected

EXIT_OF_VERDICT = {HOLDS: 0, REFUTED: 3, INCONCLUSIVE: 5}
MARKS = {True: "ok", False: "FAILED", None: "missing"}
MAX_SHOWN_VALUES = 256
MAX_PRINTED_VALUES = 64
MAX_LINE = 400
UNSIGNED = "report envelopes were not checked here: their signatures need `assay verify`; only the proofs inside count"


@dataclass
class Report:
    """Verdict, checks and conditions of one call; `facts` are further members of the JSON answer,
    `notes` further lines of the text."""

    checks: list[Check] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        if any(check.ok is False for check in self.checks):
            return REFUTED
        return HOLDS if self.checks and all(check.ok for check in self.checks) else INCONCLUSIVE

    @property
    def exit_code(self) -> int:
        return EXIT_OF_VERDICT[self.verdict]

    def to_json(self) -> dict[str, Any]:
        """{ok, verdict, checks: [{id, ok, detail}], conditions, ...}; strings hold printable characters only."""
        return {
            "ok": self.verdict == HOLDS,
            "verdict": self.verdict,
            "checks": [{"id": clean(check.id), "ok": check.ok, "detail": clean(check.detail)} for check in self.checks],
            "conditions": [clean(sentence) for sentence in self.conditions],
            **self.facts,
        }

    def lines(self) -> list[str]:
        """Text for people: one numbered line a check, then public outputs, error budget, conditions and verdict."""
        width = min(40, max((len(check.id) for check in self.checks), default=0))
        out = [
            f"{number:3d}  {MARKS[check.ok]:<7}  {clean(check.id):<{width}}  {clean(check.detail)}"
            for number, check in enumerate(self.checks, start=1)
        ]
        if self.notes:
            out += ["", *(clean(line) for line in self.notes)]
        out += ["", "conditions"] + ([f"  - {clean(sentence)}" for sentence in self.conditions] or ["  none"])
        return [*out, "", f"verdict: {self.verdict}"]


def clean(text: str) -> str:
    """One printable line of text that somebody else wrote: no control characters, no escape sequences."""
    line = "".join(char if char.isascii() and char.isprintable() else "?" for char in str(text))
    return line if len(line) <= MAX_LINE else line[:MAX_LINE] + "..."


def verify_collected(files: Collected, *, allow_toy: bool = False) -> Report:
    """Verify everything that was collected as one set. Never raises for hostile bytes."""
    out = Report()
    bundle = BundleVerdict()
    if files.pairs:
        bundle = verify_bundle([(name, *pair) for name, pair in files.pairs.items()], allow_toy=allow_toy)
    out.checks += bundle.checks
    out.conditions += bundle.conditions
    for name in files.lonely:
        out.checks.append(Check(f"files.{name}", None, "its other half (.stmt and .proof belong together) is missing"))
    records = _check_records(out, files, bundle)
    for name, data in files.registrations.items():
        _check_registration(out, name, data, bundle)
    for name, data in files.descriptions.items():
        _check_description(out, name, data, bundle, files)
    for audit in bundle.audits:
        sentence = "it answers the request it names; compare auditor and nonce with the request you made"
        out.conditions.append(f"audit.{audit.name}: {sentence}")
    if files.signed:
        out.conditions.append(UNSIGNED)
    out.facts = {"runs": [_show_run(run) for run in bundle.runs], "audits": _show_audits(bundle), "commitments": records}
    out.notes += _audit_lines(bundle)
    _add_budget(out, bundle)
    return out


def _check_records(out: Report, files: Collected, bundle: BundleVerdict) -> list[dict[str, Any]]:
    uses: dict[bytes, list[str]] = {}
    certified = set()
    for name, item in bundle.verified.items():
        for _, record in item.statement.roles:
            uses.setdefault(record.digest(), []).append(name)
            if item.statement.kind == CERT:
                certified.add(record.digest())
    shown = []
    for name, data in files.records.items():
        try:
            record = Record.decode(data)
        except VerificationError as error:
            out.checks.append(Check(f"commitment.{name}", False, str(error)))
            continue
        digest = record.digest()
        where = f"in {len(uses[digest])} proofs given here" if digest in uses else "in no proof given here"
        detail = f"{KIND_NAMES[record.kind]} record {digest.hex()[:16]}, profile {record.profile}, {record.n_rows} rows; {where}"
        # Alone, a record is only shown; beside proofs, one that none of them speaks about is a promise without evidence.
        out.checks.append(Check(f"commitment.{name}", True if digest in uses or not files.pairs else None, detail))
        shown.append({"name": clean(name), "digest": digest.hex(), "kind": KIND_NAMES[record.kind], "profile": record.profile})
        if digest not in uses and not files.pairs:
            out.conditions.append(f"commitment.{name}: a record alone says nothing about the values behind it")
    return shown


def _check_registration(out: Report, name: str, data: bytes, bundle: BundleVerdict) -> None:
    identifier = f"{name}.run"
    try:
        run_id = Registration.decode(data).run_id
    except VerificationError as error:
        out.checks.append(Check(identifier, False, str(error)))
        return
    if any(run.run_id == run_id for run in bundle.runs):
        out.checks.append(Check(identifier, True, f"the registration is that of run {run_id.hex()[:12]}"))
    else:
        out.checks.append(Check(identifier, None, f"no accepted segment of the registered run {run_id.hex()[:12]} is given"))


def _check_description(out: Report, name: str, data: bytes, bundle: BundleVerdict, files: Collected) -> None:
    identifier = f"description.{name}"
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        out.checks.append(Check(identifier, False, "not a JSON object"))
        return
    if name.endswith("run.json"):
        runs = {run.run_id.hex(): run for run in bundle.runs}
        run_id = str(value.get("run_id"))
        known = _facts_of(runs[run_id]) if run_id in runs else None
    else:
        certificates = [item for item in bundle.verified.values() if item.statement.kind == CERT]
        digests = {record.digest().hex(): item for item in certificates for _, record in item.statement.roles}
        record = str(value.get("record"))
        known = _facts_of_certificate(digests[record].statement) if record in digests else None
    if known is None:
        out.checks.append(Check(identifier, None, "what it describes is not proven by any proof given here"))
        return
    wrong = [key for key, true in known.items() if value.get(key) != true]
    detail = f"{', '.join(wrong)} differ from what is proven" if wrong else "says what the proofs say"
    out.checks.append(Check(identifier, not wrong, detail))


def _facts_of_certificate(st: Statement) -> dict[str, Any]:
    """The members of dataset.json or model.json that the certificate determines."""
    if st.family == "dataset-certificate":
        return asdict(DatasetSpec.read(Reader(st.params, st.family)))
    spec = TrainingSpec.read(Reader(st.params, st.family))
    return {"layers": list(spec.layers), "loss": spec.loss, "scales": asdict(spec.scales)}


def _facts_of(run: RunSummary) -> dict[str, Any]:
    """The members of run.json that the proofs determine."""
    registration = run.registration
    return {
        "run_id": run.run_id.hex(),
        "dataset": registration.dataset.hex(),
        "layers": list(registration.spec.layers),
        "loss": registration.spec.loss,
        "steps": registration.total_steps,
        "segments": registration.n_segments,
    }


def _show_run(run: RunSummary) -> dict[str, Any]:
    final = None if run.final is None else run.final.hex()
    return _facts_of(run) | {"complete": run.is_complete, "final_checkpoint": final}


def _show_audits(bundle: BundleVerdict) -> list[dict[str, Any]]:
    out = []
    for audit in bundle.audits:
        small = {key: list(values) for key, values in audit.publics.items() if len(values) <= MAX_SHOWN_VALUES}
        out.append(
            {
                "name": clean(audit.name),
                "family": audit.family,
                "auditor": clean(audit.auditor),
                "nonce": audit.nonce.hex(),
                "publics": small,
                "origins": audit.origins,
            }
        )
    return out


def _audit_lines(bundle: BundleVerdict) -> list[str]:
    out = []
    for audit in bundle.audits:
        out.append(f"audit {clean(audit.name)}: {audit.family}, asked by {clean(audit.auditor)}, nonce {audit.nonce.hex()}")
        for key, values in audit.publics.items():
            shown = " ".join(map(str, values)) if len(values) <= MAX_PRINTED_VALUES else f"{len(values)} integers"
            out.append(f"  {key} = {shown}")
    return [*out, ""] if out else out


def _add_budget(out: Report, bundle: BundleVerdict) -> None:
    """The proof with the largest error, and the union over all proofs of the set."""
    if not bundle.verified:
        return
    name, worst = min(bundle.verified.items(), key=lambda item: (item[1].budget.bits, item[0]))
    total = bits_of(sum((item.budget.worst_round for item in bundle.verified.values()), Fraction(0)))
    terms = {term: round(bits_of(error), 2) for term, error in worst.budget.terms if error}
    out.facts["error_budget"] = {"proof": clean(name), "bits": round(worst.budget.bits, 2), "terms": terms}
    out.facts["error_budget"]["bits_all_proofs"] = round(total, 2)
    out.notes += [f"error budget a random-oracle query (largest: {clean(name)})"]
    out.notes += [f"  {line}" for line in worst.budget.lines()]
    out.notes.append(f"  {'all proofs of this set together':34s} 2^-{total:.1f}")

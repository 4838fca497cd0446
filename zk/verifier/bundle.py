"""Verification of a set of proofs that belong together: a run, its certificates, refreshes and audits (PROTOCOL 18.1).

Checks, in this order; every one is reported under its identifier.

 proof.NAME         each proof holds on its own (zk.verifier.verify)
 bounds.NAME        every interval it relies on is established by another proof of the set
 run.ID.*           registration, order and beacon agree; segments are complete and contiguous; each starts from the weights
                    in which its predecessor ended; the dataset is the registered one; the base of the bounds is established
 audit.NAME         which run and which checkpoint the audited commitment belongs to

Verdict: "refuted" if a proof is refused or two proofs contradict each other, "inconclusive" if something needed is missing,
"holds" otherwise. Conditions are what the caller must still believe (for example a beacon value).
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice

from zk.protocol.bounds import Interval
from zk.protocol.errors import VerificationError
from zk.protocol.registration import Registration, Segment
from zk.protocol.statement import AUDIT, CERT, KIND_NAMES, REFRESH, SEGMENT
from zk.verifier.verify import Condition, Verified, verify

HOLDS, REFUTED, INCONCLUSIVE = "holds", "refuted", "inconclusive"
Pair = tuple[str, bytes, bytes]  # (name, statement, proof)


@dataclass(frozen=True)
class Check:
    """One numbered check: ok is True, False, or None where the evidence is missing."""

    id: str
    ok: bool | None
    detail: str


@dataclass(frozen=True)
class RunSummary:
    """What the set shows about one run. `final` is the record of the last checkpoint, if the chain is complete."""

    run_id: bytes
    registration: Registration
    n_segments: int
    is_complete: bool
    final: bytes | None


@dataclass(frozen=True)
class AuditSummary:
    """An accepted AUDIT statement: its family, public outputs, who asked, and the runs its commitments belong to."""

    name: str
    family: str
    auditor: str
    nonce: bytes
    statement: bytes
    params: bytes
    publics: dict[str, tuple[int, ...]]
    commitments: dict[str, bytes]
    origins: dict[str, str]


class Links:
    """Records that hold the same message, by accepted REFRESH proofs (union-find)."""

    def __init__(self, verified: Iterable[Verified]) -> None:
        self._parent: dict[bytes, bytes] = {}
        for item in verified:
            if item.statement.kind == REFRESH:
                old, new = (self.canonical(record.digest()) for _, record in item.statement.roles)
                if new != old:
                    self._parent[new] = old

    def canonical(self, record: bytes) -> bytes:
        while record in self._parent:
            record = self._parent[record]
        return record

    def same(self, a: bytes, b: bytes) -> bool:
        return self.canonical(a) == self.canonical(b)


@dataclass
class BundleVerdict:
    """Result of `verify_bundle`. `verified` holds the accepted proofs by name, `links` the refreshes among them."""

    checks: list[Check] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)
    runs: list[RunSummary] = field(default_factory=list)
    audits: list[AuditSummary] = field(default_factory=list)
    verified: dict[str, Verified] = field(default_factory=dict)
    links: Links = field(default_factory=lambda: Links(()))

    @property
    def verdict(self) -> str:
        if any(check.ok is False for check in self.checks):
            return REFUTED
        if not self.checks or any(check.ok is None for check in self.checks):
            return INCONCLUSIVE
        return HOLDS

    def add(self, identifier: str, ok: bool | None, detail: str) -> None:
        self.checks.append(Check(identifier, ok, detail))


def verify_bundle(pairs: Sequence[Pair], *, allow_toy: bool = False) -> BundleVerdict:
    """Check every proof and how they fit together. Never raises for hostile bytes; the order of `pairs` is irrelevant."""
    out = BundleVerdict()
    names = [name for name, _, _ in pairs]
    for name, statement, proof in sorted(pairs):
        if names.count(name) > 1:
            out.add(f"proof.{name}", False, "two proofs of one name; rename one of them")
            continue
        try:
            result = _verify_once(statement, proof, allow_toy)
        except VerificationError as error:
            out.add(f"proof.{name}", False, f"{error.kind}: {error}")
            continue
        out.verified[name] = result
        out.add(f"proof.{name}", True, _describe(result))
    links = out.links = Links(out.verified.values())
    _establish(out, links)
    _check_runs(out, links)
    _collect_audits(out, links)
    return out


REMEMBERED = 256
REMEMBERED_STATEMENT_BYTES = 1 << 20
_remembering = threading.Lock()
_remembered: OrderedDict[bytes, Verified] = OrderedDict()


def _verify_once(statement: bytes, proof: bytes, allow_toy: bool) -> Verified:
    """`verify`, remembering accepted pairs of this process by the SHA-256 of both: verification is a pure function."""
    key = hashlib.sha256(hashlib.sha256(statement).digest() + hashlib.sha256(proof).digest() + bytes([allow_toy])).digest()
    known = _remembered.get(key)
    if known is not None:
        return known
    result = verify(statement, proof, allow_toy=allow_toy)
    if len(statement) <= REMEMBERED_STATEMENT_BYTES:
        with _remembering:
            while len(_remembered) >= REMEMBERED:
                _remembered.popitem(last=False)
            _remembered[key] = result
    return result


def _describe(result: Verified) -> str:
    st = result.statement
    return f"{KIND_NAMES[st.kind]} {st.family}, profile {st.profile}, error at most 2^-{result.budget.bits:.1f} a query"


@dataclass
class Established:
    """Intervals by (canonical record, tensor), and dataset specs certified, by canonical record."""

    intervals: dict[tuple[bytes, str], Interval] = field(default_factory=dict)
    specs: set[tuple[bytes, bytes]] = field(default_factory=set)


def _establish(out: BundleVerdict, links: Links) -> None:
    """Least fixed point: a proof's intervals count once everything it relies on is established."""
    established = Established()
    waiting = dict(out.verified)
    progress = True
    while progress:
        progress = False
        for name, item in list(waiting.items()):
            if all(_is_met(condition, links, established) for condition in item.conditions):
                for (record, tensor), interval in item.intervals.items():
                    key = (links.canonical(record), tensor)
                    established.intervals[key] = _narrower(established.intervals.get(key), interval)
                if item.certified is not None:
                    established.specs.add((links.canonical(item.certified[0]), item.certified[1]))
                del waiting[name]
                progress = True
    for name, item in sorted(out.verified.items()):
        missing = [c for c in item.conditions if not _is_met(c, links, established)]
        if missing:
            what = ", ".join(_name(condition) for condition in missing[:3])
            out.add(f"bounds.{name}", None, f"not established by any proof given: {what}")
        elif item.conditions:
            out.add(f"bounds.{name}", True, f"{len(item.conditions)} conditions established by other proofs of the set")
    _check_single_specs(out, established)


def _name(condition: Condition) -> str:
    if condition.spec:
        return f"a dataset certificate of {condition.record.hex()[:16]} under the very spec used"
    lo, hi = condition.interval
    return f"{condition.tensor} of {condition.record.hex()[:16]} in [{lo}, {hi}]"


def _is_met(condition: Condition, links: Links, established: Established) -> bool:
    record = links.canonical(condition.record)
    if condition.spec:
        return (record, condition.spec) in established.specs
    known = established.intervals.get((record, condition.tensor))
    return known is not None and condition.interval[0] <= known[0] and known[1] <= condition.interval[1]


def _narrower(old: Interval | None, new: Interval) -> Interval:
    return new if old is None else (max(old[0], new[0]), min(old[1], new[1]))


def _check_runs(out: BundleVerdict, links: Links) -> None:
    runs: dict[bytes, list[tuple[str, Verified, Segment]]] = {}
    for name, item in sorted(out.verified.items()):
        if item.statement.kind == SEGMENT:
            segment = Segment.decode(item.statement.run)
            runs.setdefault(segment.registration.run_id, []).append((name, item, segment))
    for run_id, members in runs.items():
        _check_run(out, links, run_id, sorted(members, key=lambda member: member[2].index))


def _check_run(out: BundleVerdict, links: Links, run_id: bytes, members: list[tuple[str, Verified, Segment]]) -> None:
    registration = members[0][2].registration
    label = f"run.{run_id.hex()[:12]}"
    beacons = {segment.randomness for _, _, segment in members}
    out.add(f"{label}.beacon", len(beacons) == 1, "one beacon value in all segments" if len(beacons) == 1 else "two beacons")
    strangers = [n for n, item, _ in members if not links.same(item.statement.role("D").digest(), registration.dataset)]
    detail = f"{', '.join(strangers)} read another dataset" if strangers else "every segment reads the registered dataset"
    out.add(f"{label}.dataset", not strangers, detail)
    by_index: dict[int, tuple[str, Verified]] = {}
    for name, item, segment in members:
        known = by_index.setdefault(segment.index, (name, item))
        if not links.same(known[1].statement.role("W_out").digest(), item.statement.role("W_out").digest()):
            out.add(f"{label}.chain", False, f"{known[0]} and {name} end segment {segment.index} in different weights")
    n_missing = registration.n_segments - len(by_index)
    gaps = islice((i for i in range(registration.n_segments) if i not in by_index), min(n_missing, 8))
    total = f"{registration.n_segments} segments, {registration.total_steps} steps"
    listed = ", ".join(str(i) for i in gaps)
    out.add(f"{label}.complete", None if n_missing else True, f"{n_missing} missing of {total}: {listed}" if n_missing else total)
    broken = _broken_links(links, registration, by_index)
    detail = "; ".join(broken) or "every segment starts from the weights its predecessor ended in"
    out.add(f"{label}.chain", not broken, detail)
    final = None if n_missing or broken else by_index[registration.n_segments - 1][1].statement.role("W_out").digest()
    out.runs.append(RunSummary(run_id, registration, len(by_index), not n_missing, final))
    _run_conditions(out, registration, label)


def _broken_links(links: Links, registration: Registration, by_index: dict[int, tuple[str, Verified]]) -> list[str]:
    out = []
    for index, (name, item) in sorted(by_index.items()):
        if index == 0 and registration.initial is None:
            continue  # public initial weights are part of the program itself
        start = item.statement.role("W_in").digest()
        if index == 0:
            wanted: bytes | None = registration.initial
        elif index - 1 in by_index:
            wanted = by_index[index - 1][1].statement.role("W_out").digest()
        else:
            continue
        if wanted is None or not links.same(start, wanted):
            out.append(f"{name} starts from other weights than segment {index - 1} ended in")
    return out


def _run_conditions(out: BundleVerdict, registration: Registration, label: str) -> None:
    if registration.is_self_made:
        out.conditions.append(
            f"{label}: the beacon is self-made by the provider, who could have tried several; data order and initial"
            " weights are reproducible but not unpredictable"
        )
    else:
        out.conditions.append(
            f"{label}: the beacon value of chain {registration.beacon_chain.hex()[:16]} round {registration.beacon_round}"
            " was not checked against its signature"
        )
    if registration.initial is not None:
        out.conditions.append(f"{label}: the initial weights were chosen by the provider")


def _collect_audits(out: BundleVerdict, links: Links) -> None:
    finals = {links.canonical(run.final): f"final weights of run {run.run_id.hex()[:12]}" for run in out.runs if run.final}
    datasets = {links.canonical(r.registration.dataset): f"training data of run {r.run_id.hex()[:12]}" for r in out.runs}
    certified = {
        links.canonical(record.digest())
        for item in out.verified.values()
        if item.statement.kind == CERT
        for _, record in item.statement.roles
    }
    for name, item in sorted(out.verified.items()):
        st = item.statement
        if st.kind != AUDIT or st.auditor is None:
            continue
        origins = {}
        for role, record in st.roles:
            canonical = links.canonical(record.digest())
            known = finals if role == "W" else datasets
            fallback = "a certified commitment" if canonical in certified else "a commitment of unknown origin"
            origins[role] = known.get(canonical, fallback)
        commitments = {role: links.canonical(record.digest()) for role, record in st.roles}
        _check_model_spec(out, links, name, item)
        summary = AuditSummary(
            name=name,
            family=st.family,
            auditor=st.auditor.name,
            nonce=st.auditor.nonce,
            statement=item.digest,
            params=st.params,
            publics=dict(st.publics),
            commitments=commitments,
            origins=origins,
        )
        out.audits.append(summary)
        out.add(f"audit.{name}", True, "; ".join(f"{role}: {origin}" for role, origin in origins.items()))


def _check_model_spec(out: BundleVerdict, links: Links, name: str, item: Verified) -> None:
    """An inference audit must read committed weights at the scales their run registered or their certificate states."""
    record = dict(item.statement.roles).get("W")
    if record is None:
        return
    specs = []
    for other in out.verified.values():
        st = other.statement
        if st.family == "weights-certificate" and links.same(st.role("W").digest(), record.digest()):
            specs.append(st.params)
        elif st.kind == SEGMENT and links.same(st.role("W_out").digest(), record.digest()):
            specs.append(Segment.decode(st.run).registration.spec.encode())
    if not specs:
        out.add(f"audit.{name}.model", None, "no proof says at which scales these weights are meant")
        return
    same = all(item.statement.params.startswith(spec) for spec in specs)
    detail = "scales and layers are those of the weights" if same else "the audit reads the weights at other scales"
    out.add(f"audit.{name}.model", same, detail)


def _check_single_specs(out: BundleVerdict, established: Established) -> None:
    """One dataset, one specification: the same integers at two scales or with two kinds of targets are two claims."""
    by_record: dict[bytes, set[bytes]] = {}
    for record, spec in established.specs:
        by_record.setdefault(record, set()).add(spec)
    for record, specs in sorted(by_record.items()):
        if len(specs) > 1:
            out.add(f"dataset.{record.hex()[:12]}", False, "certified under two different specifications")

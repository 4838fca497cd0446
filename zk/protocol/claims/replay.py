"""Replay of everything between the roots and the pad tableau: transcript labels 01 to 23 (PROTOCOL 14.1, steps 3 to 8).

The verifier runs this to learn what the masked scalars of a proof must satisfy; the prover runs the same code on its own
messages to learn which constraints its pad tableau has to answer for. It never sees a secret.
"""

from __future__ import annotations

from dataclasses import dataclass

from zk.protocol.claims.affine import Affine, PadSystem
from zk.protocol.claims.batch import replay_batch
from zk.protocol.claims.levels import replay_level, value_of
from zk.protocol.claims.lookup import replay_lookup
from zk.protocol.claims.multilinear import Points
from zk.protocol.claims.opening import replay_opening_head
from zk.protocol.field import K
from zk.protocol.padlayout import PadLayout
from zk.protocol.preamble import fresh_tags, preamble
from zk.protocol.schedule import RAW_POINT, Schedule, space_label
from zk.protocol.statement import REFRESH, Statement
from zk.protocol.transcript import Transcript


@dataclass
class Replayed:
    """Transcript after label 23, collected constraints, row weights r_i + c a_i, tags of SEG and pad tableau."""

    transcript: Transcript
    pads: PadSystem
    row_weights: list[K]
    tags: tuple[bytes, bytes]


def replay(
    st: Statement,
    digest: bytes,
    schedule: Schedule,
    layout: PadLayout,
    roots: tuple[bytes, bytes],
    scalars: list[K],
    w: list[K],
    log: list[str] | None = None,
) -> Replayed:
    """Replay labels 01 to 23 over the messages of one proof."""
    # 3 preamble
    transcript = Transcript(log)
    tags = fresh_tags(schedule, layout, digest)
    preamble(transcript, st, digest, tags, roots)
    pads = PadSystem(schedule, scalars)
    points = Points(schedule.program)
    if st.kind == REFRESH:
        points.named[RAW_POINT] = transcript.challenge_k("12.point.raw", schedule.batch_vars)
    values: list[Affine] = []
    # 4 lookups
    if schedule.lookups:
        values += replay_lookup(transcript, pads, schedule.lookups, points)
    # 5 equations
    for dims, n_vars in schedule.spaces.items():
        points.named[space_label(dims)] = transcript.challenge_k(space_label(dims), n_vars)
    if schedule.terms:
        transcript.absorb_k("13.terms", pads.masked([split.slot for split in schedule.terms]))
    # 6 levels
    for level in schedule.levels:
        replay_level(transcript, pads, level, points)
    # 7 batching
    values += [value_of(pads, points, lin.value) for lin in schedule.lins if not isinstance(lin.value, str)]
    a, b, value = replay_batch(transcript, pads, schedule, points, values)
    # 8 opening head
    weights = replay_opening_head(transcript, pads, schedule, a, b, value, w)
    return Replayed(transcript, pads, weights, tags)

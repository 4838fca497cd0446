"""First messages of every proof, and the tags of its two fresh tableaux (PROTOCOL 4.2, 14 labels 01 to 06)."""

from __future__ import annotations

from zk.protocol.hashing import tagged
from zk.protocol.ir import SEG
from zk.protocol.padlayout import PadLayout
from zk.protocol.params import PROTOCOL_VERSION
from zk.protocol.record import PAD_KIND, SEG_KIND, tag16
from zk.protocol.schedule import Schedule
from zk.protocol.statement import Statement
from zk.protocol.transcript import Transcript

PAD_LAYOUT = b"\x17"


def fresh_tags(schedule: Schedule, layout: PadLayout, statement: bytes) -> tuple[bytes, bytes]:
    """tag16 of SEG and of the pad tableau; both have the statement digest as context."""
    seg = tag16(SEG_KIND, schedule.tableau(SEG).layout.digest(), statement)
    pad = tag16(PAD_KIND, tagged(PAD_LAYOUT, layout.n_rows.to_bytes(4, "little")), statement)
    return seg, pad


def preamble(transcript: Transcript, st: Statement, digest: bytes, tags: tuple[bytes, bytes], roots: tuple[bytes, bytes]) -> None:
    """Absorb labels 01 to 06: parameters, statement, records, fresh roots, statement again with the ballast."""
    store, pad = st.store_profile, st.pad_profile
    params = f"{PROTOCOL_VERSION} store {store.describe()} pad {pad.describe()}"
    transcript.absorb_bytes("01.params", params.encode("ascii"))
    transcript.absorb_bytes("02.statement", digest)
    for role, record in st.roles:
        transcript.absorb_bytes(f"03.record.{role}", record.digest())
    transcript.absorb_bytes("04.root.seg", tags[0] + roots[0])
    transcript.absorb_bytes("05.root.pad", tags[1] + roots[1])
    transcript.ballast("06.statement2", digest)

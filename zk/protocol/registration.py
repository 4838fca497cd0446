"""What a run fixes before its beacon exists, and what a segment adds (PROTOCOL sections 2, 12, 18.1)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from zk.protocol.codec import Reader, Writer
from zk.protocol.errors import LimitError, MalformedError, ProgramError
from zk.protocol.hashing import PROGRAM, tagged
from zk.protocol.order import batch_order, initial_values, run_seed
from zk.protocol.params import MAX_PUBLIC_ENTRIES, MAX_SAMPLES, MAX_STEPS
from zk.protocol.programs.spec import TrainingSpec

MAX_REGISTRATION_BYTES = 4096
MAX_TOTAL_STEPS = (1 << 32) - 1
MAX_SEGMENTS = 1 << 20
PUBLIC_INIT = b"zkaudit/v1/public-init"
SELF_MADE_CHAIN = hashlib.sha256(b"zkaudit/v1/self-made-beacon").digest()
RANGE_WIDTHS = (0, 32, 40, 48)


@dataclass(frozen=True)
class Registration:
    """Dataset record, initial weights (None = derived from the beacon), spec, beacon round, schedule. Chain mode."""

    dataset: bytes
    initial: bytes | None
    spec: TrainingSpec
    beacon_chain: bytes
    beacon_round: int
    segment_steps: int
    total_steps: int

    @property
    def run_id(self) -> bytes:
        return hashlib.sha256(self.encode()).digest()

    @property
    def n_segments(self) -> int:
        return -(-self.total_steps // self.segment_steps)

    @property
    def is_self_made(self) -> bool:
        return self.beacon_chain == SELF_MADE_CHAIN

    def steps_of(self, segment: int) -> tuple[int, int]:
        """(first step, number of steps) of a segment."""
        first = segment * self.segment_steps
        return first, min(self.segment_steps, self.total_steps - first)

    def seed(self, randomness: bytes) -> bytes:
        """Run seed: recomputed from the registration and the beacon, never read from a proof."""
        program = tagged(PROGRAM, b"mlp-sgd", self.spec.encode())
        initial = PUBLIC_INIT if self.initial is None else self.initial
        return run_seed(self.dataset, initial, program, self.beacon_chain, self.beacon_round, randomness)

    def check(self) -> None:
        if not 1 <= self.segment_steps <= MAX_STEPS or not 1 <= self.total_steps <= MAX_TOTAL_STEPS:
            raise ProgramError(f"{self.total_steps} steps in segments of {self.segment_steps}; 1 to {MAX_STEPS} a segment")
        if self.n_segments > MAX_SEGMENTS:
            raise LimitError(f"{self.n_segments} segments, at most {MAX_SEGMENTS}; make segments longer")
        if self.segment_steps * self.spec.batch > MAX_SAMPLES:
            raise LimitError(f"{self.segment_steps} steps of {self.spec.batch} samples, at most {MAX_SAMPLES} a segment")

    def encode(self) -> bytes:
        writer = Writer().raw(self.dataset).u8(0 if self.initial is None else 1).raw(self.initial or bytes(32))
        writer.blob(self.spec.encode()).raw(self.beacon_chain).u64(self.beacon_round)
        return writer.u32(self.segment_steps).u64(self.total_steps).bytes()

    @staticmethod
    def decode(data: bytes) -> Registration:
        reader = Reader(data, "registration")
        dataset, has_initial, initial = reader.raw(32), reader.u8(), reader.raw(32)
        if has_initial > 1 or (not has_initial and initial != bytes(32)):
            raise MalformedError("registration: unknown kind of initial weights")
        inner = Reader(reader.blob(MAX_REGISTRATION_BYTES, "training spec"), "training spec")
        spec = TrainingSpec.read(inner)
        inner.end()
        chain, round_number = reader.raw(32), reader.u64()
        out = Registration(dataset, initial if has_initial else None, spec, chain, round_number, reader.u32(), reader.u64())
        reader.end()
        out.check()
        return out


@dataclass(frozen=True)
class Segment:
    """Place of one segment in its run and the beacon value it uses."""

    registration: Registration
    index: int
    randomness: bytes
    range_bits: int

    @property
    def uses_public_init(self) -> bool:
        return self.index == 0 and self.registration.initial is None

    def order(self) -> tuple[tuple[int, ...], ...]:
        first, n_steps = self.registration.steps_of(self.index)
        spec = self.registration.spec
        return batch_order(self.registration.seed(self.randomness), first, n_steps, spec.rows, spec.batch)

    def initial(self) -> list[tuple[int, ...]] | None:
        """Public initial weights for the first segment, None where W_in is committed."""
        return public_initial(self.registration, self.randomness) if self.uses_public_init else None

    def check(self) -> None:
        if not 0 <= self.index < self.registration.n_segments:
            raise ProgramError(f"segment {self.index} of {self.registration.n_segments}")
        if self.range_bits not in RANGE_WIDTHS or (self.uses_public_init and self.range_bits):
            raise ProgramError(f"range check of {self.range_bits} bits is not possible here")

    def encode(self) -> bytes:
        writer = Writer().blob(self.registration.encode()).u32(self.index).raw(self.randomness)
        return writer.u8(self.range_bits).bytes()

    @staticmethod
    def decode(data: bytes) -> Segment:
        reader = Reader(data, "segment")
        registration = Registration.decode(reader.blob(MAX_REGISTRATION_BYTES, "registration"))
        out = Segment(registration, reader.u32(), reader.raw(32), reader.u8())
        reader.end()
        out.check()
        return out


def public_initial(registration: Registration, randomness: bytes) -> list[tuple[int, ...]]:
    """Initial weights in `weight_shapes` order, a function of the run seed (12.5a)."""
    spec = registration.spec
    if spec.n_parameters > MAX_PUBLIC_ENTRIES:
        raise LimitError(f"{spec.n_parameters} public initial weights, at most {MAX_PUBLIC_ENTRIES}; commit them instead")
    seed = registration.seed(randomness)
    out = []
    for i, ((_, shape), scale) in enumerate(zip(spec.weight_shapes(), spec.initial_scales(), strict=True)):
        n_entries = shape[0] * (shape[1] if len(shape) == 2 else 1)
        out.append(initial_values(seed, i, n_entries, scale))
    return out

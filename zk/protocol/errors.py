"""The one exception family of the zk room.

`VerificationError` and its subclasses are the only exceptions that leave the verifier, whatever bytes it is given.
`ProvingError` is what the prover raises; it never appears on the verifier's side.
"""

from __future__ import annotations


class ZkError(Exception):
    """Base of everything the zk room raises on purpose."""


class VerificationError(ZkError):
    """The statement is not established by the proof. `kind` is a stable machine-readable name."""

    kind = "refused"


class MalformedError(VerificationError):
    """Bytes that do not parse: wrong length, non-canonical element, unknown name, trailing data."""

    kind = "malformed"


class LimitError(VerificationError):
    """A size exceeds a named constant of `zk.protocol.params`."""

    kind = "limit"


class ProgramError(VerificationError):
    """The program itself is refused: shapes, undeclared tensors, overflow of a static bound."""

    kind = "program"


class RecordError(VerificationError):
    """A commitment record does not have the kind, layout, profile or context that its role requires."""

    kind = "record"


class ConstraintError(VerificationError):
    """The pad tableau's linear test has the wrong public sum: some constraint is false."""

    kind = "constraint"


class MerkleError(VerificationError):
    """An opened column does not belong to the committed root."""

    kind = "merkle"


class ProximityError(VerificationError):
    """An opened column contradicts a polynomial sent earlier."""

    kind = "proximity"


class ProvingError(ZkError):
    """The prover refuses to produce a proof; the message says what to change."""


class WindowError(ProvingError):
    """A value of the execution leaves its declared window; names tensor, step, sample and bound."""


class BudgetError(ProvingError):
    """Opening more columns of a long-lived commitment would end its hiding; refresh it first."""

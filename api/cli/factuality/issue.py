"""What `assay factuality calibrate --certificate` does beyond printing: issue, sign and write."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from api.cli.exits import CommandError, Exit
from api.cli.factuality.certificates import read_components, read_moment

if TYPE_CHECKING:
    from fractions import Fraction

    from conformal.calibration import Calibrator
    from conformal.labels import LabelPolicy
    from conformal.published import MalformedLabels


@dataclass(frozen=True)
class CertificateOptions:
    """What was typed about the certificate."""

    out: Path | None
    key: Path | None
    components: Path | None
    held_out: Path | None
    fitted_on: Path | None
    minimum_n: int | None
    days: int
    issued: str | None

    def check(self, n_levels: int, jitter: bool) -> None:
        """Before any work. Raises CommandError."""
        if self.out is None:
            if (self.components, self.held_out, self.fitted_on, self.minimum_n, self.issued) != (None,) * 5:
                raise CommandError("these options belong to a certificate: name its file with --certificate", Exit.USAGE)
            return
        if self.key is None:
            raise CommandError("a certificate is signed: name the signing key with --key (assay keys signing FILE)", Exit.USAGE)
        if n_levels != 1:
            raise CommandError("a certificate has one level, chosen beforehand: give --alpha once", Exit.USAGE)
        if jitter:
            raise CommandError("a certificate needs scores that a single output has: store the noise in the file", Exit.USAGE)


def issue_certificate(
    options: CertificateOptions,
    calibrator: Calibrator,
    score: str,
    policy: LabelPolicy,
    alpha: Fraction,
    delta: Fraction | None,
    by_group: bool,
    closed: bool,
    malformed: MalformedLabels,
) -> dict[str, Any] | None:
    """Write the signed certificate; what the command says about it. None where none was asked for."""
    from audit.factuality.certificates import sign_certificate
    from audit.signing import PrivateKey
    from conformal.issuing import issue, make_promise
    from conformal.reading import read_claims

    if options.out is None or options.key is None:
        return None
    promise = make_promise(
        score, calibrator.loss, alpha, policy=policy, delta=delta, by_group=by_group, minimum_n=options.minimum_n,
        comparator=calibrator.comparator, closed=closed,
    )  # fmt: skip
    held_out, fitted_on = (
        None if path is None else read_claims(path, malformed)[0] for path in (options.held_out, options.fitted_on)
    )
    key = PrivateKey.load(options.key)
    certificate = issue(
        promise, calibrator.table, components=read_components(options.components, score), issued=read_moment(options.issued),
        valid_days=options.days, held_out=held_out, fitted_on=fitted_on,
    )  # fmt: skip
    options.out.write_bytes(sign_certificate(certificate, key))
    return {
        "file": str(options.out),
        "sha256": certificate.sha256,
        "issuer": key.public.to_text(),
        "issued": certificate.issued,
        "expires": certificate.expires,
        "thresholds": [found.to_json() for found in certificate.thresholds],
        "held_out": None if certificate.held_out is None else certificate.held_out.to_json(),
        "conditions": certificate.to_json()["conditions"],
    }

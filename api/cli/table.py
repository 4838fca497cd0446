"""The one table of commands: name, module, attribute, help line.

A module is imported only when its command runs, so `assay --help` stays fast and loads no torch, Numba, FastAPI or
SQLAlchemy. The attribute is a `typer.Typer`: with one command it becomes that command, with several (or a callback) a
group. To add a command, add a row here and write its module; nothing else changes.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """One row: where the command lives and the line `assay --help` prints for it."""

    module: str
    attribute: str
    help: str
    panel: str


_PROVE = "Commit, train and prove (provider)"
_SERVICE = "Work with a service"
_VERIFY = "Verify (anyone)"
_OPERATE = "Run a service (operator)"
_SCIENCE = "Test a model's text (anyone)"

COMMANDS: dict[str, Entry] = {
    "demo": Entry("api.cli.demo", "demo", "The whole story on bundled data, ending in an offline verification.", _VERIFY),
    "verify": Entry("api.cli.verify", "verify", "Verify commitments, segments, runs, evidence or reports offline.", _VERIFY),
    "commit": Entry("api.cli.commit", "commit", "Commit to a dataset or a model without revealing it.", _PROVE),
    "estimate": Entry("api.cli.estimate", "estimate", "Time, memory and proof size of a run, before it starts.", _PROVE),
    "train": Entry("api.cli.train", "train", "Train in exact integers and prove every step; resumes after a kill.", _PROVE),
    "prove": Entry("api.cli.train", "prove", "Prove the segments of a run that have no proof yet.", _PROVE),
    "watermark": Entry(
        "api.cli.watermark.group", "watermark", "Watermarks in text: keys, marked text, detection, audits of a mark.", _SCIENCE
    ),
    "factuality": Entry(
        "api.cli.factuality.group", "factuality", "Factuality guarantees over claims: calibrate, audit, plan.", _SCIENCE
    ),
    "calibration": Entry(
        "api.cli.calibration.group", "calibration", "Stated confidence in text: evaluate, run on a model, train.", _SCIENCE
    ),
    "privacy": Entry(
        "api.cli.privacy.group", "privacy", "Leakage of personal data: subjects, probes, bounds, with error control.", _SCIENCE
    ),
    "publish": Entry("api.cli.publish", "publish", "Upload the public half of a run to a service.", _SERVICE),
    "audit": Entry("api.cli.audit", "audit", "Request, list, show, watch and cancel audits.", _SERVICE),
    "provider": Entry("api.cli.provider", "provider", "Register a provider key and answer audit requests.", _SERVICE),
    "models": Entry("api.cli.models", "models", "Register the models that audits may run.", _SERVICE),
    "watermark-keys": Entry(
        "api.cli.lent_keys", "watermark_keys", "Hand watermark keys to a service, and take them back.", _SERVICE
    ),
    "report": Entry("api.cli.report", "report", "Fetch the signed report of a finished audit.", _SERVICE),
    "keys": Entry("api.cli.keys", "keys", "Signing keys, and the API keys of a service.", _OPERATE),
    "serve": Entry("api.cli.serve", "serve", "Serve the HTTP API (with a worker inside, unless told otherwise).", _OPERATE),
    "worker": Entry("api.cli.worker", "worker", "Run the jobs of a service in a process of their own.", _OPERATE),
}

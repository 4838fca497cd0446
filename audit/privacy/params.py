"""Parameters and registrations that the audits of privacy on models have in common: which models, at which access."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from audit.errors import EvidenceError, RequestError
from audit.params import Fields
from audit.recomputed import find_difference
from audit.runners.protocol import Attestation, Tier
from privacy.probes.model import Access, ModelFacts

MODEL, REFERENCE = "model", "reference"
MAX_LISTED = 64
TIERS: Mapping[Access, Tier] = {
    Access.TEXT: Tier.CHAT,
    Access.TOP_K: Tier.TOP_LOGPROBS,
    Access.FULL: Tier.TOKENS,
    Access.WEIGHTS: Tier.IN_PROCESS,
}
Registered = Mapping[str, Mapping[str, Any]]
"""Registrations by role."""


@dataclass(frozen=True)
class Models:
    """Digests of models by their role in the audit, `model` being the audited one, and the least access that is asked of each."""

    digests: Mapping[str, str]
    access: Access

    @property
    def model(self) -> str:
        """The audited model."""
        return self.digests[MODEL]

    @property
    def needed(self) -> dict[str, int]:
        """For `Needs.models`."""
        return dict.fromkeys(self.digests.values(), int(TIERS[self.access]))


@dataclass(frozen=True)
class Asked:
    """What every such audit asks for: models, and the sealed uploads it uses up."""

    models: Models
    openings: tuple[str, ...]
    records: tuple[str, ...]


def read_models(fields: Fields, access: Access, needed: tuple[str, ...] = (), optional: tuple[str, ...] = (REFERENCE,)) -> Models:
    """Take `model` and the digests of further roles, all of different models. Raises RequestError."""
    digests = {role: fields.digest(role) for role in (MODEL, *needed)}
    for role in optional:
        digest = fields.optional_digest(role)
        if digest is not None:
            digests[role] = digest
    if len(set(digests.values())) != len(digests):
        raise RequestError(f"params.{', params.'.join(digests)} must be different models")
    return Models(digests, access)


def read_members(fields: Fields, default: Any, *names: str) -> dict[str, Any]:
    """Take parameters that stand for members of a plan, each of the kind of its default. Raises RequestError."""
    found = {}
    for name in names:
        value = fields.take(name)
        if value is not None:
            found[name] = _typed(value, getattr(default, name), name)
    return found


def _typed(value: Any, like: Any, name: str) -> Any:
    if isinstance(like, tuple):
        if not isinstance(value, list) or not 0 < len(value) <= MAX_LISTED:
            raise RequestError(f"params.{name} must be a list of 1 to {MAX_LISTED} entries")
        return tuple(_typed(one, like[0], name) for one in value)
    if isinstance(like, float) and type(value) is int and abs(value) < 1 << 53:
        return float(value)
    if type(value) is not type(like):
        raise RequestError(f"params.{name} must be of the kind of its default, {like!r}")
    return value


def check_attestations(attested: Any, models: Models, registered: Registered) -> None:
    """That the models which answered are those that are registered. Raises EvidenceError."""
    if not isinstance(attested, dict) or set(attested) != set(models.digests):
        raise EvidenceError("the evidence does not tell exactly the models that the request names")
    for role in models.digests:
        if not _is_attestation(attested[role]):
            raise EvidenceError(f"what the {role} attested is malformed")
        for name in ("model", "model_digest"):
            if attested[role][name] != registered[role]["attestation"].get(name):
                raise EvidenceError(f"another {role} answered than the one that is registered: its {name} differs")
    same = same_weights({role: found["attestation"] for role, found in registered.items()})
    addresses = [(found["kind"], found["address"]) for found in registered.values()]
    if same or len(set(addresses)) != len(addresses):
        raise EvidenceError("two of the models are one, registered twice: compared with itself, no model shows anything")


def _is_attestation(value: Any) -> bool:
    """The form of `audit.runners.protocol.Attestation.to_json`."""
    if not isinstance(value, dict) or set(value) != set(Attestation.__dataclass_fields__):
        return False
    texts = [value[name] for name in ("model", "device", "dtype")]
    pairs = [value[name] for name in ("versions", "files")]
    texts += [text for pair in pairs if isinstance(pair, dict) for text in pair.values()]
    told = value["model_digest"] is None or isinstance(value["model_digest"], str)
    return told and all(isinstance(pair, dict) for pair in pairs) and all(isinstance(text, str) for text in texts)


def same_weights(attestations: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """Roles of models of the same weights, as far as these are attested. A model is no reference of its own: every score would be
    0, and every difference."""
    digests = {role: found.get("model_digest") for role, found in attestations.items()}
    told = [digest for digest in digests.values() if digest is not None]
    return tuple(role for role, digest in digests.items() if digest is not None and told.count(digest) > 1)


def check_facts(facts: Mapping[str, ModelFacts | None], models: Models, registered: Registered) -> None:
    """That a result was measured on the registered models; `facts` by role, None where there was none. Raises EvidenceError."""
    if {role for role, found in facts.items() if found is not None} != set(models.digests):
        raise EvidenceError("the result was measured on other models than the request names")
    for role, found in facts.items():
        attested = registered[role]["attestation"] if found is not None else {}
        if found is not None and (found.name, found.digest) != (attested.get("model"), attested.get("model_digest")):
            raise EvidenceError(f"the result was measured on another {role} than the one that is registered")


def check_plan(result: Any, plan: Mapping[str, Any]) -> None:
    """That a result is of the plan that the request asks for, before anything of it is read. Raises EvidenceError."""
    if not isinstance(result, Mapping) or find_difference(result.get("plan"), json.loads(json.dumps(plan))) is not None:
        raise EvidenceError("the result is that of another plan than the request asks for")


def check_records(said: Any, asked: Asked) -> None:
    """That the evidence was made with the private records of the request, in its order. Raises EvidenceError."""
    if said != list(asked.records):
        raise EvidenceError("the evidence was made with other records than those of the request")


def model_conditions(registered: Registered) -> tuple[str, ...]:
    """Sentences that every such audit rests on."""
    own = registered[MODEL]
    found = [f"ranks and counts were measured on the registered model {own['name']} by the signer; its word stands for them"]
    if own["attestation"].get("model_digest") is None:
        found.append("the model lies behind an address that attests no weights: what answered then may not answer now")
    if REFERENCE in registered:
        name = registered[REFERENCE]["name"]
        found.append(f"the reference model {name} was not trained on what is asked about, by the word of whoever named it")
    return tuple(found)

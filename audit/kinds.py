"""The kinds of audit this version offers. A room that brings a new one adds a row to `ENTRIES`."""

from __future__ import annotations

import importlib

from audit.registry import Registry

# "module:attribute", the attribute being a function without arguments that gives the kinds of that module. Modules are
# imported when a registry is built, never before: listing commands must stay fast.
ENTRIES: tuple[str, ...] = (
    "audit.proof_kinds:kinds",
    "audit.watermark.kinds:kinds",
    "audit.factuality.kinds:kinds",
    "audit.privacy.kinds:kinds",
)


def build_registry() -> Registry:
    """A registry with every kind of `ENTRIES`."""
    registry = Registry()
    for entry in ENTRIES:
        module, attribute = entry.split(":")
        for kind in getattr(importlib.import_module(module), attribute)():
            registry.add(kind)
    return registry

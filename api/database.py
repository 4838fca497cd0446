"""Open the database of a service alone, for commands that need nothing else."""

from __future__ import annotations

from api.settings import Settings
from audit.store.engine import Store
from audit.store.migrate import migrate


def open_store(settings: Settings) -> Store:
    """The database, brought to the newest schema, in a data folder that only its owner may enter."""
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    store = Store(settings.database_url)
    migrate(store)
    return store

"""The one place that touches SQLite: a writer thread, readers, migrations and blobs."""

from regend.store.store import Store

__all__ = ["Store"]

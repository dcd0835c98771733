"""The one place that touches SQLite: a writer thread, readers, migrations and blobs."""

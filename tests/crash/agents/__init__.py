"""The engine's test programs as agents of a daemon."""

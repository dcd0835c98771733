"""regend: durable agent jobs on your own devices, offline first."""

__version__ = "0.1.0"

"""The job engine: what a job may become, how its steps last, who runs it."""

"""The mesh in the daemon: where sync meets jobs, and what people see of their devices."""

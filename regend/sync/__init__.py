"""The mesh: what one device did reaches the person's other devices, and nobody else."""

"""Programs made of durable steps; they run in a worker and know only their context."""

"""The owner's documents: import, passages, search."""

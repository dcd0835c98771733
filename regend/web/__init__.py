"""What a browser loads from the daemon."""

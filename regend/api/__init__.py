"""HTTP, WebSocket and SSE on loopback."""

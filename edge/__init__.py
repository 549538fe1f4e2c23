"""From inboxes to people: HTTP API, WebSocket sessions, authentication."""

"""From notices to inboxes: pure rows and pages, the store they live in, the projector that fills it."""

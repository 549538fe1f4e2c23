"""What people's programs bring in to hear of their inboxes: Python here, JavaScript in js/."""

"""Plugs it together: settings, the embedded mode's wiring, the command line."""

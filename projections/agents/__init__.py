"""The cluster's rim around the projection."""

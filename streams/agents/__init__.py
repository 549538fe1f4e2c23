"""The cluster's rim around both stages: Faust agents, one file each, that advance what this worker holds."""

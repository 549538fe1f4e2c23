"""From activities to notices: the pure core, the replica that runs it, the log it reads and writes."""

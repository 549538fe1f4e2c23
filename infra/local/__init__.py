"""A real Kafka and a real Cassandra on this machine, without Docker: for development and for tests."""

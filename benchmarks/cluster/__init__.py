"""Benchmarks that need a real Kafka and Cassandra: `make bench-cluster`."""

"""Benchmarks of the edge alone: real sockets, records as the log carries them, a client that is not the bottleneck."""

"""The pure core: values and `now_ms` in, values out. No clock, no randomness, no I/O."""

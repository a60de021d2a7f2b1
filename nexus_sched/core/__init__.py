"""The engine: events in, effects out. Deterministic; no clock, I/O, randomness or logging."""

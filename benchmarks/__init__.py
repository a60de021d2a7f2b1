"""Benchmarks with budgets: `compiled` builds the C parts, `gate` holds a run against `budgets.toml`."""

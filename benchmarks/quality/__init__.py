"""Is placement as good as it is meant to be? `python -m benchmarks.quality [--short] [--json]`, or `make quality`.

`goals` what is to be reached, read from quality.toml · `jobs` the simulations that takes, on all processors ·
`cost` what one decision costs · `judge` figures against goals · `table` for people.
"""

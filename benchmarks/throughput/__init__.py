"""How many no-op tasks a second the whole system moves, and how long one takes from submission to start.

A real server, one scheduler process (`nexus-sched run`), one process with a thousand registered workers, one
producer; run it with `python -m benchmarks.throughput --json`.

`options` what is measured · `tally` what the processes share · `processor` CPU time and load · `fleet` the
workers' process · `simulated` one worker of it · `producer` arrivals · `stage` the processes · `level` one
rate · `report` medians and goals.
"""

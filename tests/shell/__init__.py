"""The deterministic simulator of the shell: real schedulers, workers and clients on one thread and in virtual time.

`python -m tests.shell --seed 1234 --kind mix --verbose` tells one run step by step; the same seed is the same run.

`world`, `party`    virtual time, and the parties that live in it: each may be killed or paused between any two steps
`server`, `link`    the store, which may refuse, forget or lose everything, and the ways to it, which may fail
`cast`, `parts`, `programs`  who takes part: schedulers, workers and clients, which are the product's own
`plan`, `faults`    what a seed means: the tasks, the settings, and what goes wrong when
`history`, `laws`   what really happened, and what must be true of it after every step and at the end
`sharing`           what must be true in the end of a pool of several shards, and of the replicas that share them
`run`               one seed from beginning to end
"""

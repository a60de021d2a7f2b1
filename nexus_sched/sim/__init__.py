"""The simulator: the engine and simpler policies in virtual time, on the same arrivals and the same truth.

Workloads: `workload` what is run, and how long it takes where · `task_types`, `arrivals`, `scenarios` generated ones ·
`recorded` from a trace · `matrix` from measurements on every class, `summary_matrix` from medians of such · `options`.
Running: `agenda` virtual time · `fleet` the workers · `drive` one policy through a workload · `policies` cores by name:
the engine, and `early`, `pull`, `oracle` beside it · `history` what happened.
Comparing: `compare` policies and seeds · `measure` one history · `summary` several seeds · `figures`, `table`.
"""

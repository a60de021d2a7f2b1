"""The simulator: the engine and simpler policies in virtual time, on the same arrivals and the same truth.

Workloads: `workload` what is run, and how long it takes where · `task_types`, `arrivals`, `scenarios` generated ones ·
`recorded` from a trace · `matrix` from measurements on every class, `summary_matrix` from medians of such · `options`.
Running: `agenda` virtual time · `fleet` the workers · `drive` one policy through a workload · `policies` cores by name:
the engine, and `early`, `pull`, `oracle` beside it · `owners` several of them in one pool · `history` what happened.
Comparing: `compare` policies and seeds · `measure` one history, `recovery` after a blow · `summary` several seeds ·
`figures`, `table` · `report` a page, with `pictures` on `plot` and `page_style`.
The past: `hour` out of a journal · `pace` of its workers · `what_if` with changes.
"""

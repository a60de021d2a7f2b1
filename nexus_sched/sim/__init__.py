"""The simulator: the engine and simpler policies in virtual time, on the same arrivals and the same truth.

`workload` what is run, and how long it takes where · `task_types`, `scenarios` generated workloads · `agenda` virtual
time · `fleet` the workers · `drive` one policy through a workload · `history` what happened · `policies` cores by
name: the engine, and `early`, `pull`, `oracle` beside it.
"""

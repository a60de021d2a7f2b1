"""The nemesis: real servers, schedulers, workers and a producer, and faults on all of them.

`python -m tests.chaos --scenario NAME --faults N --seed S --server valkey|redis [--json]` runs one scenario and
prints a verdict. The parts:

* `options`, `run`, `verdict`: what is asked, one run from nothing and back to nothing, and what came of it.
* `stage`: everything that runs; `processes`, `server`, `proxy` are its parts, `disk` the library that stands
  between a server and its disk.
* `application` and `producer` run in processes of their own and write down what they saw, in files.
* `observer` copies the journal while the run goes on; `checker`, `places` and `inspection` judge, with the files,
  the copy and what the store holds at the end.
* `faults`: how each fault is done; `scenarios`: their names.
"""

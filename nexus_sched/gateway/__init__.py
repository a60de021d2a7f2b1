"""The gateway: everything that faces people and other systems, in a process that may be killed at any time.

It holds nothing that a task depends on: it reads what the scheduler paints and records, and changes something only by
commands in the ordered log. Any number of gateways serve one pool.

`compose` puts the parts together, `process` starts and stops them, `part` is what a part is · `connect` from a URL to
an adapter, `store` the store that all parts share, `picture` the newest state · `access` who may do what · `http` the
API · `health` what is wrong · `grpc` workers' own door · `metrics` for Prometheus · `tracer` spans of sampled tasks.
"""

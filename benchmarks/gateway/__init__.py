"""What the gateway bears: submissions, batches, estimates, limits, abuse, its own death, and being scraped.

Real processes on a real server; run it with `python -m benchmarks.gateway --json`.

`options` how long and how much · `wire` a cheap HTTP client · `arrivals` requests at a rate · `site` the processes ·
`loads` submissions, batches, estimates · `limits` two gateways and one limit · `abuse` clients that mean ill ·
`crash` a gateway that is killed · `scrapes` somebody who looks · `goals` what is promised.
"""

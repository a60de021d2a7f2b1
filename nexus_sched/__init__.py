"""nexus_sched: a predictive task scheduler for workers behind Redis Streams."""

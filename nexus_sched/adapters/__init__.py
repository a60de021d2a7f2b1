"""Implementations of the ports in `nexus_sched.runtime.ports`. They never import each other."""

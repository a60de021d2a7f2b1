"""The demonstration: embedded server, real worker processes, one workload twice."""

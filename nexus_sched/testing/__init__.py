"""Conformance suites and servers for tests, for this package and for plug-ins."""

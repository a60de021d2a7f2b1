"""Recompute recorded decisions from the journal and compare them to the bit."""

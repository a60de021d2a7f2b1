"""The reference worker runtime."""

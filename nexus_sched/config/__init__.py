"""The configuration: its schema, its sources, and errors that say where and what."""

"""The words: frozen structs shared by all rooms. Imports nothing but msgspec, errors and itself."""

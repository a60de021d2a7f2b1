"""A fast 64-bit digest for comparing states. Not for security."""

def digest64(data: bytes, seed: int = 0) -> int:
    """Digest of a buffer; the same on every machine and at every optimisation level."""

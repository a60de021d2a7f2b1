"""A fast 64-bit digest for comparing states. Not for security. The mixing is csrc/nexus_digest.c."""

from libc.stdint cimport uint64_t

from nexus_sched._kernel.layout cimport nexus_digest


def digest64(bytes data not None, uint64_t seed=0):
    """Digest of a buffer; the same on every machine and at every optimisation level."""
    return nexus_digest(<const unsigned char *><char *>data, len(data), seed)

"""The frame around every snapshot: magic, version, size, body, digest; little-endian on every machine.

    bytes 0..3 magic | 4..7 version | 8..15 size of the body | body | digest of everything before it (8 bytes)

The digest tells damage from a snapshot; it does not vouch for the writer, so readers check every field as well.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint32_t, uint64_t

from nexus_sched.errors import SnapshotUnreadable


cdef Py_ssize_t HEADER_BYTES = 16
cdef Py_ssize_t DIGEST_BYTES = 8


cdef bytes new_frame(bytes magic, uint32_t version, Py_ssize_t body_bytes):
    """A frame with its header written and its body not: fill it through `body_of`, then `seal` it."""
    cdef bytes frame = PyBytes_FromStringAndSize(NULL, HEADER_BYTES + body_bytes + DIGEST_BYTES)
    cdef unsigned char *at = <unsigned char *>PyBytes_AS_STRING(frame)
    cdef const unsigned char *letters = <const unsigned char *>PyBytes_AS_STRING(magic)
    cdef Py_ssize_t index
    for index in range(4):
        at[index] = letters[index]
    nexus_put_u32(at + 4, version)
    nexus_put_u64(at + 8, <uint64_t>body_bytes)
    return frame


cdef unsigned char *body_of(bytes frame) noexcept:
    return <unsigned char *>PyBytes_AS_STRING(frame) + HEADER_BYTES


cdef int seal(bytes frame) except -1:
    """Write the digest. The last write to the frame."""
    cdef unsigned char *at = <unsigned char *>PyBytes_AS_STRING(frame)
    cdef Py_ssize_t covered = len(frame) - DIGEST_BYTES
    nexus_put_u64(at + covered, nexus_digest(at, covered, 0))
    return 0


cdef const unsigned char *checked_body(bytes frame, bytes magic, uint32_t version, Py_ssize_t *body_bytes) except NULL:
    """Body of an undamaged frame of this kind and version, else `SnapshotUnreadable`."""
    cdef const unsigned char *at = <const unsigned char *>PyBytes_AS_STRING(frame)
    cdef Py_ssize_t size = len(frame) - HEADER_BYTES - DIGEST_BYTES
    if size < 0:
        raise SnapshotUnreadable(f"{len(frame)} bytes are less than a header")
    if frame[:4] != magic:
        raise SnapshotUnreadable(f"starts with {frame[:4]!r} instead of {magic!r}")
    if nexus_get_u32(at + 4) != version:
        raise SnapshotUnreadable(f"version {nexus_get_u32(at + 4)} is not version {version}")
    if nexus_get_u64(at + 8) != <uint64_t>size:
        raise SnapshotUnreadable(f"announces a body of {nexus_get_u64(at + 8)} bytes and has {size}")
    if nexus_get_u64(at + HEADER_BYTES + size) != nexus_digest(at, HEADER_BYTES + size, 0):
        raise SnapshotUnreadable("the digest does not fit: the bytes are damaged")
    body_bytes[0] = size
    return at + HEADER_BYTES


cdef str name_at(const unsigned char *at, Py_ssize_t size):
    """The UTF-8 name of `size` bytes at `at`, else `SnapshotUnreadable`."""
    try:
        return (<const char *>at)[:size].decode("utf-8")
    except UnicodeDecodeError as error:
        raise SnapshotUnreadable("a name is not UTF-8") from error

"""The frame around every snapshot: magic, version, size, body, digest; little-endian on every machine."""

from libc.stdint cimport uint32_t, uint64_t


cdef extern from "nexus_bytes.h" nogil:
    void nexus_put_u32(unsigned char *at, uint32_t value) noexcept
    void nexus_put_u64(unsigned char *at, uint64_t value) noexcept
    void nexus_put_f32(unsigned char *at, float value) noexcept
    void nexus_put_f64(unsigned char *at, double value) noexcept
    uint32_t nexus_get_u32(const unsigned char *at) noexcept
    uint64_t nexus_get_u64(const unsigned char *at) noexcept
    float nexus_get_f32(const unsigned char *at) noexcept
    double nexus_get_f64(const unsigned char *at) noexcept


cdef extern from "nexus_digest.h" nogil:
    uint64_t nexus_digest(const unsigned char *bytes, Py_ssize_t size, uint64_t seed) noexcept


cdef bytes new_frame(bytes magic, uint32_t version, Py_ssize_t body_bytes)
cdef unsigned char *body_of(bytes frame) noexcept
cdef int seal(bytes frame) except -1
cdef const unsigned char *checked_body(bytes frame, bytes magic, uint32_t version, Py_ssize_t *body_bytes) except NULL
cdef str name_at(const unsigned char *at, Py_ssize_t size)

/* One history as bytes in a snapshot; little-endian, the same on every machine.
 *
 * Scalars, then the name of the type (the caller's), then the runs as they lie in the ring, 8 bytes each. Version 2 has
 * the affine law and two experts more than version 1, which is still read: the moments of the affine law are then
 * taken from the ring, and the new experts begin with their priors.
 */
#ifndef NEXUS_RECORD_H
#define NEXUS_RECORD_H

#include "nexus_history.h"

#define NEXUS_RECORD_VERSION 2

/* Bytes before the name, by version; 0 for a version that cannot be read. */
ptrdiff_t nexus_scalar_bytes(uint32_t version);

/* Bytes of a record with a name of this size. */
ptrdiff_t nexus_record_bytes(const nexus_history *history, uint32_t name_bytes);

/* Writes all but the name, in the newest version, and leaves the room for it. */
void nexus_write_record(const nexus_history *history, uint32_t name_bytes, unsigned char *at);

/* Bytes of the record that begins here, and of its name; -1 if it cannot be one, or ends behind `left`. */
ptrdiff_t nexus_measure_record(const unsigned char *at, ptrdiff_t left, uint32_t version, uint32_t *name_bytes);

/* Reads a record that has been measured. Returns 0, or -1 for numbers that no run of learning could have produced. */
int nexus_read_record(nexus_history *history, const unsigned char *at, uint32_t version);

#endif

/* 64-bit digest of a buffer: equal on every machine; to compare states, not to resist anybody. */
#ifndef NEXUS_DIGEST_H
#define NEXUS_DIGEST_H

#include <stddef.h>
#include <stdint.h>

uint64_t nexus_digest(const unsigned char *bytes, ptrdiff_t size, uint64_t seed);

#endif

/* Little-endian numbers in a byte buffer, whatever the machine; compilers turn each into one load or store. */
#ifndef NEXUS_BYTES_H
#define NEXUS_BYTES_H

#include <stdint.h>
#include <string.h>

static inline void nexus_put_u32(unsigned char *at, uint32_t value) {
    for (int index = 0; index < 4; index++) at[index] = (unsigned char)(value >> (8 * index));
}

static inline void nexus_put_u64(unsigned char *at, uint64_t value) {
    for (int index = 0; index < 8; index++) at[index] = (unsigned char)(value >> (8 * index));
}

static inline uint32_t nexus_get_u32(const unsigned char *at) {
    uint32_t value = 0;
    for (int index = 0; index < 4; index++) value |= (uint32_t)at[index] << (8 * index);
    return value;
}

static inline uint64_t nexus_get_u64(const unsigned char *at) {
    uint64_t value = 0;
    for (int index = 0; index < 8; index++) value |= (uint64_t)at[index] << (8 * index);
    return value;
}

static inline void nexus_put_f32(unsigned char *at, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    nexus_put_u32(at, bits);
}

static inline void nexus_put_f64(unsigned char *at, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    nexus_put_u64(at, bits);
}

static inline float nexus_get_f32(const unsigned char *at) {
    const uint32_t bits = nexus_get_u32(at);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline double nexus_get_f64(const unsigned char *at) {
    const uint64_t bits = nexus_get_u64(at);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

#endif

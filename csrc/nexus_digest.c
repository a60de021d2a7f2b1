/* Four lanes take in eight bytes each per stripe by `lane = rotate(lane + word * ODD, 31) * GOLDEN`, which is a
 * bijection of the lane for every word and of the word for every lane, so two buffers that differ in one word never
 * meet again in its lane. The word is multiplied before it meets the lane: without that the top bit of one word and
 * a lower bit of the next one cancelled. The lanes are folded with the finaliser of splitmix64 (Steele, Lea, Flood
 * 2014). The last stripe is padded with zeros; the length is folded in, so padding is not ambiguous. */
#include "nexus_digest.h"

#include "nexus_bytes.h"

#define LANES 4
#define STRIPE_BYTES (8 * LANES)
#define GOLDEN UINT64_C(0x9E3779B97F4A7C15) /* 2^64 / golden ratio, odd */
#define ODD UINT64_C(0xD6E8FEB86659FD93)

static inline uint64_t rotate(uint64_t word, int bits) { return (word << bits) | (word >> (64 - bits)); }

static inline uint64_t finalise(uint64_t word) {
    word = (word ^ (word >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    word = (word ^ (word >> 27)) * UINT64_C(0x94D049BB133111EB);
    return word ^ (word >> 31);
}

static inline void take_stripe(uint64_t *lanes, const unsigned char *stripe) {
    for (ptrdiff_t lane = 0; lane < LANES; lane++)
        lanes[lane] = rotate(lanes[lane] + nexus_get_u64(stripe + 8 * lane) * ODD, 31) * GOLDEN;
}

uint64_t nexus_digest(const unsigned char *bytes, ptrdiff_t size, uint64_t seed) {
    uint64_t lanes[LANES];
    for (ptrdiff_t lane = 0; lane < LANES; lane++) lanes[lane] = finalise(seed + (uint64_t)(lane + 1) * GOLDEN);
    const ptrdiff_t whole = size - size % STRIPE_BYTES;
    for (ptrdiff_t offset = 0; offset < whole; offset += STRIPE_BYTES) take_stripe(lanes, bytes + offset);
    if (whole < size) {
        unsigned char last[STRIPE_BYTES] = {0};
        for (ptrdiff_t offset = whole; offset < size; offset++) last[offset - whole] = bytes[offset];
        take_stripe(lanes, last);
    }
    uint64_t folded = finalise((uint64_t)size ^ seed);
    for (ptrdiff_t lane = 0; lane < LANES; lane++) folded = finalise(folded ^ lanes[lane]) + GOLDEN;
    return finalise(folded);
}

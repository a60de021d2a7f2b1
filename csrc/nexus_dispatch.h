/* One function, several instruction sets, identical results.
 *
 * NEXUS_CLONES makes the compiler emit a function for the baseline and for wider vectors; the loader picks one.
 * Only loops of float add, multiply, compare and select may carry it: with -ffp-contract=off their results do
 * not depend on the vector width. The macro vanishes where there is no ifunc (musl, macOS, aarch64) and under
 * sanitizers, whose run time is not up yet when the loader asks.
 */
#ifndef NEXUS_DISPATCH_H
#define NEXUS_DISPATCH_H

#include <limits.h> /* the C library's: only its headers tell whether it is glibc */

#if defined(__x86_64__) && defined(__linux__) && defined(__GLIBC__) && defined(__GNUC__) && __GNUC__ >= 12 && \
    !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && !defined(NEXUS_NO_CLONES)
#define NEXUS_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#define NEXUS_HAS_CLONES 1
#else
#define NEXUS_HAS_CLONES 0
#define NEXUS_CLONES
#endif

#endif

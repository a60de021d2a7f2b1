/* Stands between a server and its disk (a preloaded library). Only append-only files are touched.
 *
 * After each sync of such a file its size, as it was before the sync, is noted in <file>.synced: what a power cut
 * would leave. A sync takes NEXUS_CHAOS_SYNC_US longer, as a disk's does, so that a cut meets unsynced writes.
 * While the file named by NEXUS_CHAOS_FULL exists, writes fail with ENOSPC.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <unistd.h>

#define PATH_BYTES 512

/* 1 if `file` is an append-only file; its path goes to `path`. */
static int is_append_only(int file, char *path)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, PATH_BYTES - 16);
    if (length <= 0)
        return 0;
    path[length] = '\0';
    return length > 4 && strcmp(path + length - 4, ".aof") == 0;
}

static int synced(int file, int (*sync)(int))
{
    char path[PATH_BYTES], text[32];
    struct stat before;
    if (!is_append_only(file, path) || fstat(file, &before) != 0)
        return sync(file);
    const char *pause_us = getenv("NEXUS_CHAOS_SYNC_US");
    if (pause_us)
        usleep((useconds_t)atoi(pause_us));
    int result = sync(file);
    if (result == 0) {
        strcat(path, ".synced");
        int note = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        if (note >= 0) {
            int length = snprintf(text, sizeof text, "%020lld\n", (long long)before.st_size);
            if (pwrite(note, text, (size_t)length, 0) != length)
                abort();
            close(note);
        }
    }
    return result;
}

int fsync(int file)
{
    return synced(file, (int (*)(int))dlsym(RTLD_NEXT, "fsync"));
}

int fdatasync(int file)
{
    return synced(file, (int (*)(int))dlsym(RTLD_NEXT, "fdatasync"));
}

ssize_t write(int file, const void *data, size_t size)
{
    static ssize_t (*real)(int, const void *, size_t);
    static const char *full;
    if (!real) {
        full = getenv("NEXUS_CHAOS_FULL");
        real = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    }
    char path[PATH_BYTES];
    if (full && access(full, F_OK) == 0 && is_append_only(file, path)) {
        errno = ENOSPC;
        return -1;
    }
    return real(file, data, size);
}

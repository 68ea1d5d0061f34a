/* Makes a process see another wall clock and a disk that fails; loaded by LD_PRELOAD.
 *
 * What it sees is in a file that TACTIC_FAULTS names and that the test writes while the process
 * runs, see faults.py: seconds to add to the clock, an errno, and the folder where that happens.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct faults {
    int64_t clock_s;
    int32_t code; /* 0: the disk works */
    char folder[500];
};

static volatile struct faults *faults;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("TACTIC_FAULTS");
    int file = path ? REAL(open)(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *found = mmap(NULL, sizeof *faults, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    faults = found == MAP_FAILED ? NULL : found;
}

static int64_t clock_s(void)
{
    return faults ? faults->clock_s : 0;
}

int clock_gettime(clockid_t clock, struct timespec *at)
{
    int failed = REAL(clock_gettime)(clock, at);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        at->tv_sec += clock_s();
    return failed;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone)
{
    int failed = REAL(gettimeofday)(at, zone);
    if (!failed)
        at->tv_sec += clock_s();
    return failed;
}

time_t time(time_t *at)
{
    time_t now = REAL(time)(NULL) + clock_s();
    if (at)
        *at = now;
    return now;
}

/* Whether what is done to a path has to fail. A medium that gives EIO fails in reading too, and
 * in keeping what it took; a full one takes files without content. */
enum what { READ, WRITE, MAKE, KEEP };

static int fails_at(const char *path, enum what what)
{
    int code = faults ? faults->code : 0;
    char whole[PATH_MAX] = "";
    if (!code)
        return 0;
    if (code != EIO && (what == READ || what == KEEP))
        return 0;
    if (code == ENOSPC && what == MAKE)
        return 0;
    if (path[0] != '/' && getcwd(whole, sizeof whole - 1))
        strcat(whole, "/");
    strncat(whole, path, sizeof whole - strlen(whole) - 1);
    if (strncmp(whole, (const char *)faults->folder, strlen((const char *)faults->folder)))
        return 0;
    errno = code;
    return 1;
}

static int fails(int file, enum what what)
{
    char link[64], path[PATH_MAX];
    if (!faults || !faults->code)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return fails_at(path, what);
}

static enum what asked(int flags)
{
    return flags & O_CREAT || (flags & O_ACCMODE) != O_RDONLY ? MAKE : READ;
}

#define OPEN(name)                                          \
    int name(const char *path, int flags, ...)              \
    {                                                       \
        va_list rest;                                       \
        va_start(rest, flags);                              \
        mode_t mode = va_arg(rest, mode_t);                 \
        va_end(rest);                                       \
        if (fails_at(path, asked(flags)))                   \
            return -1;                                      \
        return REAL(name)(path, flags, mode);               \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                        \
    int name(int at, const char *path, int flags, ...)      \
    {                                                       \
        va_list rest;                                       \
        va_start(rest, flags);                              \
        mode_t mode = va_arg(rest, mode_t);                 \
        va_end(rest);                                       \
        if (fails_at(path, asked(flags)))                   \
            return -1;                                      \
        return REAL(name)(at, path, flags, mode);           \
    }
OPENAT(openat)
OPENAT(openat64)

ssize_t write(int file, const void *data, size_t size)
{
    return fails(file, WRITE) ? -1 : REAL(write)(file, data, size);
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t at)
{
    return fails(file, WRITE) ? -1 : REAL(pwrite64)(file, data, size, at);
}

ssize_t pwrite(int file, const void *data, size_t size, off_t at)
{
    return fails(file, WRITE) ? -1 : REAL(pwrite)(file, data, size, at);
}

ssize_t pread64(int file, void *data, size_t size, off64_t at)
{
    return fails(file, READ) ? -1 : REAL(pread64)(file, data, size, at);
}

ssize_t pread(int file, void *data, size_t size, off_t at)
{
    return fails(file, READ) ? -1 : REAL(pread)(file, data, size, at);
}

int ftruncate64(int file, off64_t size)
{
    return fails(file, WRITE) ? -1 : REAL(ftruncate64)(file, size);
}

int fsync(int file)
{
    return fails(file, KEEP) ? -1 : REAL(fsync)(file);
}

int fdatasync(int file)
{
    return fails(file, KEEP) ? -1 : REAL(fdatasync)(file);
}

int unlink(const char *path)
{
    return fails_at(path, MAKE) ? -1 : REAL(unlink)(path);
}

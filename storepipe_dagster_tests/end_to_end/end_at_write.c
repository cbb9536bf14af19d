/* Ends its process at the N-th write to a folder, whichever library writes.

   Preloaded (LD_PRELOAD) into a process, it counts what changes files whose path begins with
   END_BELOW: a file that is created or emptied, a write, a change of length, an fsync, a rename, a
   link, a removal, a new folder. Each is a line of END_LOG: its number, what it is, the path. At
   number END_AT, if that is set, half of the bytes are written, nothing else is done, and the
   process ends with SIGKILL: no handler runs, and no buffer is emptied. Processes that it starts are
   left alone. What the C library writes for itself (fwrite) is not seen; nothing here uses it.

   What Dagster prints of its steps ("compute_logs") does not count: nothing is read from there. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static char below[PATH_MAX];
static long last = -1, done = 0;
static int log_file = -1;
static pthread_mutex_t counting = PTHREAD_MUTEX_INITIALIZER;

/* A process that was forked from one into which this is preloaded calls it again. */
__attribute__((constructor)) void read_environment(void) {
    const char *folder = getenv("END_BELOW"), *file = getenv("END_LOG"), *at = getenv("END_AT");
    if (folder == NULL || file == NULL) return;
    log_file = (int)syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (log_file < 0) _exit(126);
    if (at != NULL) last = atol(at);
    snprintf(below, sizeof below, "%s", folder);
    unsetenv("LD_PRELOAD");
    unsetenv("END_BELOW");
}

static int counts(const char *path) {
    return below[0] != 0 && strncmp(path, below, strlen(below)) == 0 &&
           strstr(path, "/compute_logs/") == NULL;
}

/* Count a write; whether it is the last. Then no other thread gets to another. */
static int is_last(const char *what, const char *path) {
    char line[PATH_MAX + 64];
    if (!counts(path)) return 0;
    pthread_mutex_lock(&counting);
    done++;
    int length = snprintf(line, sizeof line, "%ld\t%s\t%s\n", done, what, path + strlen(below));
    if (syscall(SYS_write, log_file, line, (size_t)length) != length) _exit(126);
    if (done == last) return 1;
    pthread_mutex_unlock(&counting);
    return 0;
}

static void end(void) {
    syscall(SYS_kill, (long)getpid(), SIGKILL);
    for (;;) pause();
}

static void count(const char *what, const char *path) {
    if (is_last(what, path)) end();
}

/* The path of an open file, or "" of what has none, as a socket. */
static const char *path_of(int file, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    int kept = errno;
    ssize_t length = below[0] != 0 ? readlink(link, path, PATH_MAX - 1) : -1;
    errno = kept;
    path[length > 0 ? length : 0] = 0;
    return path;
}

/* The whole path of a name that is seen from a folder. */
static const char *whole(int folder, const char *name, char *path) {
    char base[PATH_MAX] = "";
    if (below[0] == 0 || name == NULL) {
        path[0] = 0;
    } else if (name[0] == '/') {
        snprintf(path, PATH_MAX, "%s", name);
    } else {
        if (folder == AT_FDCWD) {
            if (getcwd(base, sizeof base) == NULL) base[0] = 0;
        } else {
            path_of(folder, base);
        }
        if ((size_t)snprintf(path, PATH_MAX, "%s/%s", base, name) >= PATH_MAX) path[0] = 0;
    }
    return path;
}

/* The function that this one stands before. */
#define REAL(name)                                               \
    static __typeof__(&name) real;                               \
    if (real == NULL) real = (__typeof__(real))dlsym(RTLD_NEXT, #name); \
    char path[PATH_MAX]

static void count_open(int folder, const char *name, int flags, char *path) {
    if ((flags & O_ACCMODE) == O_RDONLY && !(flags & O_CREAT)) return;
    whole(folder, name, path);
    if (!counts(path)) return;
    if ((flags & O_TRUNC) || ((flags & O_CREAT) && access(path, F_OK) != 0)) count("open", path);
}

#define MODE                                                     \
    mode_t mode = 0;                                             \
    if (flags & (O_CREAT | __O_TMPFILE)) {                       \
        va_list more;                                            \
        va_start(more, flags);                                   \
        mode = va_arg(more, mode_t);                             \
        va_end(more);                                            \
    }

#define OPEN(name)                                               \
    int name(const char *file, int flags, ...) {                 \
        REAL(name);                                              \
        MODE count_open(AT_FDCWD, file, flags, path);            \
        return real(file, flags, mode);                          \
    }
#define OPENAT(name)                                             \
    int name(int folder, const char *file, int flags, ...) {     \
        REAL(name);                                              \
        MODE count_open(folder, file, flags, path);              \
        return real(folder, file, flags, mode);                  \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

ssize_t write(int file, const void *bytes, size_t size) {
    REAL(write);
    if (is_last("write", path_of(file, path))) {
        real(file, bytes, size / 2);
        end();
    }
    return real(file, bytes, size);
}

#define PWRITE(name, offset_type)                                             \
    ssize_t name(int file, const void *bytes, size_t size, offset_type offset) { \
        REAL(name);                                                           \
        if (is_last("write", path_of(file, path))) {                          \
            real(file, bytes, size / 2, offset);                              \
            end();                                                            \
        }                                                                     \
        return real(file, bytes, size, offset);                               \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

ssize_t writev(int file, const struct iovec *parts, int size) {
    REAL(writev);
    if (is_last("write", path_of(file, path))) {
        real(file, parts, size / 2);
        end();
    }
    return real(file, parts, size);
}

#define OF_FILE(name, what, arguments, given)                    \
    int name arguments {                                         \
        REAL(name);                                              \
        count(what, path_of(file, path));                        \
        return real given;                                       \
    }
OF_FILE(ftruncate, "truncate", (int file, off_t length), (file, length))
OF_FILE(ftruncate64, "truncate", (int file, off64_t length), (file, length))
OF_FILE(fsync, "fsync", (int file), (file))
OF_FILE(fdatasync, "fsync", (int file), (file))

#define OF_NAME(name, what, folder, target, arguments, given)    \
    int name arguments {                                         \
        REAL(name);                                              \
        count(what, whole(folder, target, path));                \
        return real given;                                       \
    }
OF_NAME(rename, "rename", AT_FDCWD, new, (const char *old, const char *new), (old, new))
OF_NAME(renameat, "rename", to, new, (int from, const char *old, int to, const char *new),
        (from, old, to, new))
OF_NAME(renameat2, "rename", to, new,
        (int from, const char *old, int to, const char *new, unsigned flags),
        (from, old, to, new, flags))
OF_NAME(link, "link", AT_FDCWD, new, (const char *old, const char *new), (old, new))
OF_NAME(linkat, "link", to, new, (int from, const char *old, int to, const char *new, int flags),
        (from, old, to, new, flags))
OF_NAME(unlink, "unlink", AT_FDCWD, name, (const char *name), (name))
OF_NAME(unlinkat, "unlink", folder, name, (int folder, const char *name, int flags),
        (folder, name, flags))
OF_NAME(rmdir, "rmdir", AT_FDCWD, name, (const char *name), (name))
OF_NAME(mkdir, "mkdir", AT_FDCWD, name, (const char *name, mode_t mode), (name, mode))
OF_NAME(mkdirat, "mkdir", folder, name, (int folder, const char *name, mode_t mode),
        (folder, name, mode))

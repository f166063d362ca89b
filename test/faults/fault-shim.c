/*
 * Preloaded into a server process: counts what it changes on files below one folder, writes each operation to a log,
 * and makes the n-th fail, once or from then on. The test and this file share a page of memory (the control file).
 *
 * FAULT_ROOT: the folder. FAULT_CONTROL: path of the control file. FAULT_LOG: path of the log.
 *
 * The log has one line for each operation when it is over: "<operation> <ok|failed> <path>", and "answer <status>" when
 * the process sends an HTTP answer. Lines are written before the caller goes on, so their order is the order of events
 * of each thread.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

/* Kept in step with fault-shim.ts. */
struct control {
  _Atomic uint32_t armed;      /* 1: fail as below */
  _Atomic uint32_t persistent; /* 1: not only the n-th, but all from it on */
  _Atomic uint32_t kind;       /* 0 EIO, 1 ENOSPC, 2 short write (other operations: ENOSPC) */
  _Atomic uint32_t failed;     /* how many were made to fail since it was armed */
  _Atomic uint64_t target;     /* n, counted from 1 since it was armed */
  _Atomic uint64_t counter;    /* operations since it was armed, or since the start */
};

enum { KIND_EIO = 0, KIND_ENOSPC = 1, KIND_SHORT = 2 };

static struct control *control;
static int log_fd = -1;
static char root[PATH_MAX];
static size_t root_length;

static void log_line(const char *operation, const char *result, const char *path) {
  char line[PATH_MAX + 64];
  int saved = errno;
  int length = snprintf(line, sizeof line, "%s %s %s\n", operation, result, path);
  if (log_fd >= 0 && length > 0) syscall(SYS_write, log_fd, line, (size_t)length);
  errno = saved;
}

__attribute__((constructor)) static void start(void) {
  const char *folder = getenv("FAULT_ROOT"), *page = getenv("FAULT_CONTROL"), *log = getenv("FAULT_LOG");
  if (folder == NULL || page == NULL || log == NULL) return;
  snprintf(root, sizeof root, "%s/", folder);
  root_length = strlen(root);
  int fd = (int)syscall(SYS_openat, AT_FDCWD, page, O_RDWR | O_CLOEXEC, 0);
  if (fd < 0) return;
  void *memory = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  syscall(SYS_close, fd);
  if (memory == MAP_FAILED) return;
  log_fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  control = memory;
}

/* The path of an open file below the folder, or false. */
static int path_of(int fd, char *path) {
  char link[64];
  if (control == NULL || fd < 0) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
  if (length <= 0) return 0;
  path[length] = 0;
  return strncmp(path, root, root_length) == 0;
}

static int is_below(const char *path) {
  return control != NULL && path != NULL && strncmp(path, root, root_length) == 0;
}

/* Counts an operation. Answers the kind of failure that it is to have, or -1. */
static int next_fault(void) {
  uint64_t number = atomic_fetch_add(&control->counter, 1) + 1;
  if (!atomic_load(&control->armed)) return -1;
  uint64_t target = atomic_load(&control->target);
  int hit = atomic_load(&control->persistent) ? number >= target : number == target;
  if (!hit) return -1;
  atomic_fetch_add(&control->failed, 1);
  return (int)atomic_load(&control->kind);
}

static int fail(int kind, const char *operation, const char *path) {
  log_line(operation, "failed", path);
  errno = kind == KIND_EIO ? EIO : ENOSPC;
  return -1;
}

#define REAL(name, type) \
  static type real; \
  if (real == NULL) real = (type)dlsym(RTLD_NEXT, name)

static void log_answer(const void *bytes, size_t length) {
  if (control != NULL && length > 12 && memcmp(bytes, "HTTP/1.1 ", 9) == 0) {
    char status[4] = {0};
    memcpy(status, (const char *)bytes + 9, 3);
    log_line("answer", status, "-");
  }
}

typedef ssize_t (*write_type)(int, const void *, size_t);
ssize_t write(int fd, const void *bytes, size_t length) {
  REAL("write", write_type);
  char path[PATH_MAX];
  if (!path_of(fd, path)) {
    log_answer(bytes, length);
    return real(fd, bytes, length);
  }
  int fault = next_fault();
  if (fault >= 0 && (fault != KIND_SHORT || length < 2)) return fail(fault, "write", path);
  ssize_t result = real(fd, bytes, fault == KIND_SHORT ? length / 2 : length);
  log_line("write", fault == KIND_SHORT ? "short" : "ok", path);
  return result;
}

#define DEFINE_PWRITE(name) \
  typedef ssize_t (*name##_type)(int, const void *, size_t, off64_t); \
  ssize_t name(int fd, const void *bytes, size_t length, off64_t offset) { \
    REAL(#name, name##_type); \
    char path[PATH_MAX]; \
    if (!path_of(fd, path)) return real(fd, bytes, length, offset); \
    int fault = next_fault(); \
    if (fault >= 0 && (fault != KIND_SHORT || length < 2)) return fail(fault, "write", path); \
    ssize_t result = real(fd, bytes, fault == KIND_SHORT ? length / 2 : length, offset); \
    log_line("write", fault == KIND_SHORT ? "short" : "ok", path); \
    return result; \
  }
DEFINE_PWRITE(pwrite)
DEFINE_PWRITE(pwrite64)

/* A short vectored write takes half of the first part. */
static struct iovec half_of(const struct iovec *parts) {
  struct iovec half = parts[0];
  half.iov_len = half.iov_len / 2 > 0 ? half.iov_len / 2 : half.iov_len;
  return half;
}

typedef ssize_t (*writev_type)(int, const struct iovec *, int);
ssize_t writev(int fd, const struct iovec *parts, int count) {
  REAL("writev", writev_type);
  char path[PATH_MAX];
  if (!path_of(fd, path)) {
    if (count > 0) log_answer(parts[0].iov_base, parts[0].iov_len);
    return real(fd, parts, count);
  }
  int fault = next_fault();
  if (fault >= 0 && fault != KIND_SHORT) return fail(fault, "write", path);
  struct iovec half = half_of(parts);
  ssize_t result = fault == KIND_SHORT ? real(fd, &half, 1) : real(fd, parts, count);
  log_line("write", fault == KIND_SHORT ? "short" : "ok", path);
  return result;
}

#define DEFINE_PWRITEV(name) \
  typedef ssize_t (*name##_type)(int, const struct iovec *, int, off64_t); \
  ssize_t name(int fd, const struct iovec *parts, int count, off64_t offset) { \
    REAL(#name, name##_type); \
    char path[PATH_MAX]; \
    if (!path_of(fd, path)) return real(fd, parts, count, offset); \
    int fault = next_fault(); \
    if (fault >= 0 && fault != KIND_SHORT) return fail(fault, "write", path); \
    struct iovec half = half_of(parts); \
    ssize_t result = fault == KIND_SHORT ? real(fd, &half, 1, offset) : real(fd, parts, count, offset); \
    log_line("write", fault == KIND_SHORT ? "short" : "ok", path); \
    return result; \
  }
DEFINE_PWRITEV(pwritev)
DEFINE_PWRITEV(pwritev64)

typedef ssize_t (*sendmsg_type)(int, const struct msghdr *, int);
ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
  REAL("sendmsg", sendmsg_type);
  if (message->msg_iovlen > 0) log_answer(message->msg_iov[0].iov_base, message->msg_iov[0].iov_len);
  return real(fd, message, flags);
}

#define DEFINE_SYNC(name) \
  typedef int (*name##_type)(int); \
  int name(int fd) { \
    REAL(#name, name##_type); \
    char path[PATH_MAX]; \
    if (!path_of(fd, path)) return real(fd); \
    int fault = next_fault(); \
    if (fault >= 0) return fail(fault, "sync", path); \
    int result = real(fd); \
    log_line("sync", result == 0 ? "ok" : "failed", path); \
    return result; \
  }
DEFINE_SYNC(fsync)
DEFINE_SYNC(fdatasync)

#define DEFINE_TRUNCATE(name) \
  typedef int (*name##_type)(int, off64_t); \
  int name(int fd, off64_t length) { \
    REAL(#name, name##_type); \
    char path[PATH_MAX]; \
    if (!path_of(fd, path)) return real(fd, length); \
    int fault = next_fault(); \
    if (fault >= 0) return fail(fault, "truncate", path); \
    int result = real(fd, length); \
    log_line("truncate", result == 0 ? "ok" : "failed", path); \
    return result; \
  }
DEFINE_TRUNCATE(ftruncate)
DEFINE_TRUNCATE(ftruncate64)

typedef int (*rename_type)(const char *, const char *);
int rename(const char *from, const char *to) {
  REAL("rename", rename_type);
  if (!is_below(to)) return real(from, to);
  int fault = next_fault();
  if (fault >= 0) return fail(fault, "rename", to);
  int result = real(from, to);
  log_line("rename", result == 0 ? "ok" : "failed", to);
  return result;
}

typedef int (*unlink_type)(const char *);
int unlink(const char *path) {
  REAL("unlink", unlink_type);
  if (!is_below(path)) return real(path);
  int fault = next_fault();
  if (fault >= 0) return fail(fault, "unlink", path);
  int result = real(path);
  log_line("unlink", result == 0 ? "ok" : "failed", path);
  return result;
}

typedef int (*mkdir_type)(const char *, mode_t);
int mkdir(const char *path, mode_t mode) {
  REAL("mkdir", mkdir_type);
  if (!is_below(path)) return real(path, mode);
  int fault = next_fault();
  if (fault >= 0) return fail(fault, "mkdir", path);
  int result = real(path, mode);
  log_line("mkdir", result == 0 ? "ok" : "failed", path);
  return result;
}

#define OPEN_BODY(call) \
  mode_t mode = 0; \
  if (flags & (O_CREAT | O_TMPFILE)) { \
    va_list rest; \
    va_start(rest, flags); \
    mode = va_arg(rest, mode_t); \
    va_end(rest); \
  } \
  if (!(flags & O_CREAT) || !is_below(path)) return call; \
  int fault = next_fault(); \
  if (fault >= 0) return fail(fault, "create", path); \
  int result = call; \
  log_line("create", result >= 0 ? "ok" : "failed", path); \
  return result;

#define DEFINE_OPEN(name) \
  typedef int (*name##_type)(const char *, int, ...); \
  int name(const char *path, int flags, ...) { \
    REAL(#name, name##_type); \
    OPEN_BODY(real(path, flags, mode)) \
  }
DEFINE_OPEN(open)
DEFINE_OPEN(open64)

#define DEFINE_OPENAT(name) \
  typedef int (*name##_type)(int, const char *, int, ...); \
  int name(int folder, const char *path, int flags, ...) { \
    REAL(#name, name##_type); \
    OPEN_BODY(real(folder, path, flags, mode)) \
  }
DEFINE_OPENAT(openat)
DEFINE_OPENAT(openat64)

/*
 * HTTP/1.1 load generator of the benchmark: one thread, epoll, keep-alive connections over loopback.
 *
 *   load PLAN      runs the plan, prints one JSON object on stdout
 *
 * A plan is a text file, one directive a line, fields parted by tabs (bench/load/plan.ts writes it):
 *
 *   target ADDRESS PORT
 *   connections N
 *   passes N          how many times the list of jobs is gone through (default 1)
 *   duration_ms N     go round the jobs until this time is over, instead of passes
 *   timeout_ms N      a connection without progress for this long is an error
 *   segment PATH      a file of body bytes, mapped into memory; numbered from 0
 *   headers L1 L2 ..  a set of header lines; numbered from 0
 *   label NAME        a name for a kind of request; numbered from 0
 *   job               requests that follow one another on one connection
 *   req LABEL STATUS[,STATUS] LENGTH METHOD TARGET HEADERS FRAME [SEGMENT:OFFSET:LENGTH ...]
 *
 * LENGTH is the Content-Length (or, chunked, the number of body bytes) that the answer must have, or -1. TARGET is an
 * absolute path, or @ for the last Location of the connection, with @?a=b adding a query parameter to it. FRAME is 0 for
 * a body with Content-Length, else the size of the frames of a body with Transfer-Encoding: chunked.
 *
 * Response bodies with a Content-Length are dropped inside the kernel (MSG_TRUNC), request bodies are sent from the page
 * cache, so that this program costs as little as it can of the processor that it shares with the server.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

static struct connection *connections;
static int epoll_fd, open_connections;
static uint64_t jobs_started, jobs_done, requests_done, body_bytes_in, body_bytes_out, start_ns, last_done_ns;
static uint64_t statuses[600];
static uint64_t error_count;
static char errors[MAX_ERRORS_SHOWN][512];

uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

_Noreturn void die(const char *format, ...) {
  va_list args;
  va_start(args, format);
  fputs("load: ", stderr);
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
  va_end(args);
  exit(2);
}

void *grow(void *base, size_t count, size_t size) {
  /* Doubles at each power of two, so that callers need not keep a capacity. */
  if (count & (count - 1)) return base;
  void *grown = realloc(base, (count ? count * 2 : 1) * size);
  if (!grown) die("out of memory");
  return grown;
}
static void note_error(const struct connection *c, const char *format, ...) {
  if (error_count < MAX_ERRORS_SHOWN) {
    char *out = errors[error_count];
    int used = c && c->req ? snprintf(out, 256, "%s %.120s: ", c->req->method,
                                      c->req->captured ? c->location : c->req->target)
                           : 0;
    va_list args;
    va_start(args, format);
    vsnprintf(out + used, sizeof errors[0] - (size_t)used, format, args);
    va_end(args);
    for (char *s = out; *s; s++)
      if (*s < 32 || *s > 126 || *s == '"' || *s == '\\') *s = *s == '"' ? '\'' : ' ';
  }
  error_count++;
}

static void open_connection(struct connection *c) {
  int one = 1;
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (c->fd < 0) die("socket: %s", strerror(errno));
  if (connect(c->fd, (struct sockaddr *)&plan.target, sizeof plan.target) < 0) die("connect: %s", strerror(errno));
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0) die("fcntl: %s", strerror(errno));
  struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &e) < 0) die("epoll_ctl: %s", strerror(errno));
  c->want_write = 0;
  open_connections++;
}

static void close_connection(struct connection *c) {
  close(c->fd);
  c->fd = -1;
  open_connections--;
}

static void watch(struct connection *c, int write) {
  if (c->want_write == write) return;
  c->want_write = write;
  struct epoll_event e = {.events = EPOLLIN | (write ? EPOLLOUT : 0), .data.ptr = c};
  if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &e) < 0) die("epoll_ctl: %s", strerror(errno));
}

/* Sends what goes now, and asks to hear of it when more goes. -1: connection lost. */
static int pump(struct connection *c) {
  if (send_some(c) < 0) return -1;
  watch(c, c->sent < c->total);
  return 0;
}

static int next_job(struct connection *c) {
  if (error_count >= MAX_ERRORS) return 0;
  if (plan.duration_ns ? now_ns() - start_ns >= plan.duration_ns : jobs_started >= plan.job_count * plan.passes) return 0;
  c->job = jobs_started++ % plan.job_count;
  c->index = 0;
  return 1;
}

static int start_request(struct connection *c) {
  const struct request *r = c->req = &plan.requests[plan.jobs[c->job].first + c->index];
  const char *path = r->target, *query = "";
  if (r->captured) {
    if (!c->has_location) {
      note_error(c, "no Location to go on with");
      return -1;
    }
    path = c->location;
    if (r->target[1] == '?') query = r->target + 2;
  }
  prepare_request(c, path, query);
  c->state = READ_HEAD;
  c->in_size = 0;
  c->started_ns = c->progress_ns = now_ns();
  if (pump(c) == 0) return 0;
  note_error(c, "connection lost while sending");
  return -1;
}

static void begin(struct connection *c);

/* Gives up the rest of the job after an error: its later plan.requests would only fail too. */
static void abandon(struct connection *c) {
  close_connection(c);
  c->busy = 0;
  begin(c);
}

static void begin(struct connection *c) {
  while (next_job(c)) {
    if (c->fd < 0) open_connection(c);
    c->busy = 1;
    c->has_location = 0;
    if (start_request(c) == 0) return;
    close_connection(c);
    c->busy = 0;
  }
  if (c->fd >= 0) close_connection(c);
}

static void record(struct connection *c) {
  struct latencies *l = &plan.labels[c->req->label];
  last_done_ns = now_ns();
  l->us = grow(l->us, l->count, sizeof *l->us);
  l->us[l->count++] = (uint32_t)((last_done_ns - c->started_ns) / 1000);
  requests_done++;
  body_bytes_in += (uint64_t)c->body_read;
  body_bytes_out += c->req->body_size;
  if (c->status > 0 && c->status < 600) statuses[c->status]++;
}

static int is_right(struct connection *c) {
  const struct request *r = c->req;
  int expected = 0;
  for (int i = 0; i < r->expect_count; i++) expected |= r->expect[i] == c->status;
  if (!expected) {
    c->in[c->in_size] = 0;
    const char *body = strstr(c->in, "\r\n\r\n");
    note_error(c, "status %d %.200s", c->status, body ? body + 4 : "");
    return 0;
  }
  int64_t size = r->is_head ? c->length : c->body_read;
  if (r->expect_size >= 0 && size != r->expect_size) {
    note_error(c, "%ld bytes, not %ld", size, r->expect_size);
    return 0;
  }
  if (c->sent < c->total) {
    note_error(c, "answered %d before the body was sent", c->status);
    return 0;
  }
  return 1;
}

static void finish_response(struct connection *c) {
  record(c);
  if (!is_right(c)) {
    abandon(c);
    return;
  }
  if (c->close_after) {
    close_connection(c);
    c->close_after = 0;
  }
  c->index++;
  if (c->index < plan.jobs[c->job].count) {
    if (c->fd < 0) open_connection(c);
    if (start_request(c) < 0) abandon(c);
    return;
  }
  jobs_done++;
  c->busy = 0;
  begin(c);
}
static void on_readable(struct connection *c) {
  for (int i = 0; i < READS_PER_EVENT; i++) {
    int result = receive_some(c);
    if (result == WOULD_BLOCK) return;
    if (result < 0) {
      note_error(c, result == LOST ? "connection closed by the server" : "answer is not well-formed HTTP");
      abandon(c);
      return;
    }
    c->progress_ns = now_ns();
    if (c->state == READ_DONE) {
      finish_response(c);
      return;
    }
  }
}

static void check_timeouts(void) {
  uint64_t now = now_ns();
  for (int i = 0; i < plan.connection_count; i++) {
    struct connection *c = &connections[i];
    if (c->busy && now - c->progress_ns > plan.timeout_ns) {
      note_error(c, "no progress in time");
      abandon(c);
    }
  }
}

static void on_event(const struct epoll_event *event) {
  struct connection *c = event->data.ptr;
  if (c->fd < 0) return;
  if (!c->busy) {
    close_connection(c);
    return;
  }
  if (event->events & EPOLLOUT && pump(c) < 0) {
    /* The server's answer may still be readable: that says more than the broken pipe. */
    watch(c, 0);
  }
  if (event->events & (EPOLLIN | EPOLLHUP | EPOLLERR)) on_readable(c);
}

static void run(void) {
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd < 0) die("epoll_create1: %s", strerror(errno));
  connections = calloc((size_t)plan.connection_count, sizeof *connections);
  if (!connections) die("out of memory");
  for (int i = 0; i < plan.connection_count; i++) open_connection(&connections[i]);
  start_ns = last_done_ns = now_ns();
  for (int i = 0; i < plan.connection_count; i++) begin(&connections[i]);
  uint64_t checked_ns = start_ns;
  while (open_connections > 0) {
    struct epoll_event events[128];
    int n = epoll_wait(epoll_fd, events, 128, 1000);
    if (n < 0 && errno != EINTR) die("epoll_wait: %s", strerror(errno));
    for (int i = 0; i < n; i++) on_event(&events[i]);
    if (now_ns() - checked_ns > 1000000000ull) {
      check_timeouts();
      checked_ns = now_ns();
    }
  }
}
static int by_value(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

static double own_cpu_ms(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e3 +
         (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e3;
}

static void report(double cpu_ms) {
  printf("{\"wallMs\":%.3f,\"jobs\":%lu,\"requests\":%lu,\"bodyBytesIn\":%lu,\"bodyBytesOut\":%lu,\"clientCpuMs\":%.1f,",
         (double)(last_done_ns - start_ns) / 1e6, jobs_done, requests_done, body_bytes_in, body_bytes_out, cpu_ms);
  printf("\"errorCount\":%lu,\"errors\":[", error_count);
  for (uint64_t i = 0; i < error_count && i < MAX_ERRORS_SHOWN; i++) printf("%s\"%s\"", i ? "," : "", errors[i]);
  printf("],\"statuses\":{");
  const char *comma = "";
  for (int i = 0; i < 600; i++)
    if (statuses[i]) {
      printf("%s\"%d\":%lu", comma, i, statuses[i]);
      comma = ",";
    }
  printf("},\"latencies\":{");
  comma = "";
  for (int i = 0; i < plan.label_count; i++) {
    struct latencies *l = &plan.labels[i];
    if (!l->count) continue;
    qsort(l->us, l->count, sizeof *l->us, by_value);
    printf("%s\"%s\":{\"count\":%zu,\"p50Us\":%u,\"p99Us\":%u,\"maxUs\":%u}", comma, l->name, l->count,
           l->us[l->count / 2], l->us[l->count * 99 / 100], l->us[l->count - 1]);
    comma = ",";
  }
  printf("}}\n");
}

int main(int argc, char **argv) {
  if (argc != 2) die("usage: load PLAN");
  read_plan(argv[1]);
  if (plan.job_count == 0) die("the plan has no jobs");
  double before_ms = own_cpu_ms();
  run();
  report(own_cpu_ms() - before_ms);
  return 0;
}

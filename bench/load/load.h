/* What the parts of the load generator share: plan.c reads the plan, send.c and receive.c speak HTTP, main.c runs it. */
#ifndef BERTH_BENCH_LOAD_H
#define BERTH_BENCH_LOAD_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
  MAX_CONNECTIONS = 1024,
  MAX_SEGMENTS = 8,
  MAX_PARTS = 4,
  MAX_EXPECT = 4,
  MAX_LABELS = 32,
  MAX_IOV = 64,
  MAX_ERRORS_SHOWN = 10,
  MAX_ERRORS = 200,
  HEAD_BYTES = 16384,
  SEND_BYTES = 1 << 20,
  DROP_BYTES = 4 << 20,
  READS_PER_EVENT = 4,
};

struct part { int segment; uint64_t offset, size; };

struct request {
  uint8_t label, expect_count, part_count, is_head, captured;
  int expect[MAX_EXPECT];
  int64_t expect_size;
  const char *method, *target;
  int headers;
  uint32_t frame;
  struct part parts[MAX_PARTS];
  uint64_t body_size;
};

struct job { size_t first, count; };

enum read_state { READ_HEAD, READ_LENGTH, READ_CHUNKED, READ_DONE };
enum chunk_state { CHUNK_SIZE, CHUNK_SIZE_LF, CHUNK_DATA, CHUNK_DATA_CR, CHUNK_DATA_LF, CHUNK_TRAILER };

struct connection {
  int fd, busy, want_write, close_after;
  size_t job, index;
  const struct request *req;
  char head[HEAD_BYTES];
  size_t head_size;
  uint64_t sent, total;
  int has_location;
  char location[4096];
  enum read_state state;
  char in[HEAD_BYTES + 1];
  size_t in_size;
  int status;
  int64_t length, body_read;
  enum chunk_state chunk;
  int64_t chunk_left;
  int trailer_line;
  uint64_t started_ns, progress_ns;
};

struct latencies { char *name; uint32_t *us; size_t count; };

struct segment { char *base; uint64_t size; };

/* Results of receiving. */
enum { RECEIVED = 0, WOULD_BLOCK = 1, LOST = -1, BROKEN = -2 };

/* plan.c */
struct plan {
  struct sockaddr_in target;
  int connection_count, segment_count, label_count;
  uint64_t passes, duration_ns, timeout_ns;
  struct segment segments[MAX_SEGMENTS];
  char **header_sets;
  size_t header_set_count;
  struct latencies labels[MAX_LABELS];
  struct request *requests;
  size_t request_count;
  struct job *jobs;
  size_t job_count;
};
extern struct plan plan;
void read_plan(const char *path);

/* send.c */
void prepare_request(struct connection *c, const char *path, const char *query);
int send_some(struct connection *c);

/* receive.c */
int receive_some(struct connection *c);

/* main.c */
uint64_t now_ns(void);
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
void *grow(void *base, size_t count, size_t size);

#endif

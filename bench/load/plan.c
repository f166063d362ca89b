#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "load.h"

struct plan plan = {.connection_count = 1, .passes = 1, .timeout_ns = 120ull * 1000000000ull};

static void map_segment(const char *path) {
  if (plan.segment_count == MAX_SEGMENTS) die("too many segments");
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  struct stat st;
  if (fd < 0 || fstat(fd, &st) < 0) die("%s: %s", path, strerror(errno));
  plan.segments[plan.segment_count].size = (uint64_t)st.st_size;
  if (st.st_size > 0) {
    /* Populated here, outside the measured time. */
    plan.segments[plan.segment_count].base = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (plan.segments[plan.segment_count].base == MAP_FAILED) die("mmap %s: %s", path, strerror(errno));
  }
  close(fd);
  plan.segment_count++;
}

static void add_headers(char **fields, int count) {
  size_t size = 1;
  for (int i = 1; i < count; i++) size += strlen(fields[i]) + 2;
  char *set = malloc(size), *end = set;
  if (!set) die("out of memory");
  *end = 0;
  for (int i = 1; i < count; i++) end += sprintf(end, "%s\r\n", fields[i]);
  plan.header_sets = grow(plan.header_sets, plan.header_set_count, sizeof *plan.header_sets);
  plan.header_sets[plan.header_set_count++] = set;
}

static void add_request(char **fields, int count) {
  if (count < 8 || count > 8 + MAX_PARTS || plan.job_count == 0) die("bad request line");
  plan.requests = grow(plan.requests, plan.request_count, sizeof *plan.requests);
  struct request *r = &plan.requests[plan.request_count++];
  memset(r, 0, sizeof *r);
  r->label = (uint8_t)atoi(fields[1]);
  char *save = NULL;
  for (char *s = strtok_r(fields[2], ",", &save); s; s = strtok_r(NULL, ",", &save)) {
    if (r->expect_count == MAX_EXPECT) die("too many expected statuses");
    r->expect[r->expect_count++] = atoi(s);
  }
  r->expect_size = atoll(fields[3]);
  r->method = fields[4];
  r->is_head = strcmp(r->method, "HEAD") == 0;
  r->target = fields[5];
  r->captured = r->target[0] == '@';
  r->headers = atoi(fields[6]);
  r->frame = (uint32_t)atol(fields[7]);
  if (r->label >= plan.label_count || r->headers >= (int)plan.header_set_count) die("unknown label or header set");
  for (int i = 8; i < count; i++) {
    struct part *p = &r->parts[r->part_count++];
    if (sscanf(fields[i], "%d:%lu:%lu", &p->segment, &p->offset, &p->size) != 3) die("bad body part %s", fields[i]);
    if (p->segment >= plan.segment_count || p->offset + p->size > plan.segments[p->segment].size) die("body part out of bounds");
    r->body_size += p->size;
  }
  plan.jobs[plan.job_count - 1].count++;
}

void read_plan(const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  struct stat st;
  if (fd < 0 || fstat(fd, &st) < 0) die("%s: %s", path, strerror(errno));
  char *text = malloc((size_t)st.st_size + 1);
  if (!text) die("out of memory");
  for (ssize_t have = 0; have < st.st_size;) {
    ssize_t n = read(fd, text + have, (size_t)(st.st_size - have));
    if (n <= 0) die("%s: short read", path);
    have += n;
  }
  close(fd);
  text[st.st_size] = 0;
  for (char *line = text, *next; *line; line = next) {
    next = line + strcspn(line, "\n");
    if (*next) *next++ = 0;
    char *fields[32];
    int count = 0;
    for (char *s = line; s && count < 32; count++) {
      fields[count] = s;
      s = strchr(s, '\t');
      if (s) *s++ = 0;
    }
    if (!strcmp(fields[0], "target") && count == 3) {
      plan.target.sin_family = AF_INET;
      plan.target.sin_port = htons((uint16_t)atoi(fields[2]));
      if (inet_pton(AF_INET, fields[1], &plan.target.sin_addr) != 1) die("bad address %s", fields[1]);
    } else if (!strcmp(fields[0], "connections") && count == 2) {
      plan.connection_count = atoi(fields[1]);
      if (plan.connection_count < 1 || plan.connection_count > MAX_CONNECTIONS) die("connections out of bounds");
    } else if (!strcmp(fields[0], "passes") && count == 2) plan.passes = strtoull(fields[1], NULL, 10);
    else if (!strcmp(fields[0], "duration_ms") && count == 2) plan.duration_ns = strtoull(fields[1], NULL, 10) * 1000000ull;
    else if (!strcmp(fields[0], "timeout_ms") && count == 2) plan.timeout_ns = strtoull(fields[1], NULL, 10) * 1000000ull;
    else if (!strcmp(fields[0], "segment") && count == 2) map_segment(fields[1]);
    else if (!strcmp(fields[0], "headers")) add_headers(fields, count);
    else if (!strcmp(fields[0], "label") && count == 2) {
      if (plan.label_count == MAX_LABELS) die("too many labels");
      plan.labels[plan.label_count++].name = fields[1];
    } else if (!strcmp(fields[0], "job")) {
      plan.jobs = grow(plan.jobs, plan.job_count, sizeof *plan.jobs);
      plan.jobs[plan.job_count++] = (struct job){plan.request_count, 0};
    } else if (!strcmp(fields[0], "req")) add_request(fields, count);
    else die("unknown directive %s", fields[0]);
  }
  if (!plan.target.sin_family) die("the plan names no target");
  for (size_t i = 0; i < plan.job_count; i++)
    if (plan.jobs[i].count == 0) die("a job without requests");
}

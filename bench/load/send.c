#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "load.h"

static int frame_prefix(char *out, uint64_t size) { return sprintf(out, "%lx\r\n", size); }

/* Adds body bytes [offset, offset+size) to the vector; the parts are read as one string. Returns the bytes added. */
static uint64_t add_body(const struct request *r, uint64_t offset, uint64_t size, struct iovec *iov, int *count) {
  uint64_t added = 0;
  for (int i = 0; i < r->part_count && added < size && *count < MAX_IOV; i++) {
    const struct part *p = &r->parts[i];
    if (offset >= p->size) {
      offset -= p->size;
      continue;
    }
    uint64_t n = p->size - offset < size - added ? p->size - offset : size - added;
    iov[(*count)++] = (struct iovec){plan.segments[p->segment].base + p->offset + offset, n};
    added += n;
    offset = 0;
  }
  return added;
}

/* Bytes of a chunked body on the wire, end marker included. */
static uint64_t framed_size(const struct request *r) {
  char scratch[24];
  uint64_t full = r->body_size / r->frame, rest = r->body_size % r->frame;
  uint64_t size = full * ((uint64_t)frame_prefix(scratch, r->frame) + r->frame + 2);
  if (rest) size += (uint64_t)frame_prefix(scratch, rest) + rest + 2;
  return size + 5;
}

/* Fills the vector from wire offset `at` of a chunked body. Frame heads are constant text: one of full frames, one of
 * the last. Stops when the vector is full or `limit` bytes are in it. */
static void fill_framed(const struct request *r, uint64_t at, uint64_t limit, struct iovec *iov, int *count) {
  static char full_head[24], last_head[24];
  static const char end[] = "0\r\n\r\n";
  uint64_t full = r->body_size / r->frame, rest = r->body_size % r->frame, filled = 0;
  uint64_t full_head_size = (uint64_t)frame_prefix(full_head, r->frame);
  uint64_t last_head_size = rest ? (uint64_t)frame_prefix(last_head, rest) : 0;
  uint64_t full_wire = full_head_size + r->frame + 2;
  while (*count < MAX_IOV - MAX_PARTS - 2 && filled < limit) {
    uint64_t k = at / full_wire, within = at % full_wire, data = r->frame, head_size = full_head_size, start = k * r->frame;
    const char *head = full_head;
    if (k >= full) {
      within = at - full * full_wire;
      start = full * r->frame;
      data = rest;
      head = last_head;
      head_size = last_head_size;
      uint64_t last_wire = rest ? last_head_size + rest + 2 : 0;
      if (within >= last_wire) {
        uint64_t skip = within - last_wire;
        if (skip < 5) iov[(*count)++] = (struct iovec){(void *)(end + skip), 5 - skip};
        return;
      }
    }
    uint64_t before = at;
    if (within < head_size) {
      iov[(*count)++] = (struct iovec){(void *)(head + within), head_size - within};
      at += head_size - within;
      within = head_size;
    }
    if (within < head_size + data) {
      uint64_t n = add_body(r, start + (within - head_size), data - (within - head_size), iov, count);
      at += n;
      within += n;
    }
    if (within < head_size + data) return; /* the vector is full in the middle of a frame */
    uint64_t tail = within - head_size - data;
    iov[(*count)++] = (struct iovec){(void *)(end + 1 + tail), 2 - tail};
    at += 2 - tail;
    filled += at - before;
  }
}
/* Puts the request's head together, ready to be sent: `path`, then `query` as a parameter unless it is empty. */
void prepare_request(struct connection *c, const char *path, const char *query) {
  const struct request *r = c->req;
  const char *join = !*query ? "" : strchr(path, '?') ? "&" : "?";
  char length[64] = "";
  if (r->frame) strcpy(length, "Transfer-Encoding: chunked\r\n");
  else if (r->method[0] == 'P') snprintf(length, sizeof length, "Content-Length: %lu\r\n", r->body_size);
  int n = snprintf(c->head, sizeof c->head, "%s %s%s%s HTTP/1.1\r\n%s%s\r\n", r->method, path, join, query,
                   plan.header_sets[r->headers], length);
  if (n < 0 || (size_t)n >= sizeof c->head) die("request head too long");
  c->head_size = (size_t)n;
  c->sent = 0;
  c->total = c->head_size + (r->frame ? framed_size(r) : r->body_size);
}

/* Sends what the socket takes, at most SEND_BYTES, so that many connections get their turn. -1: connection lost. */
int send_some(struct connection *c) {
  const struct request *r = c->req;
  struct iovec iov[MAX_IOV];
  int count = 0;
  if (c->sent < c->head_size) iov[count++] = (struct iovec){c->head + c->sent, c->head_size - c->sent};
  uint64_t at = c->sent > c->head_size ? c->sent - c->head_size : 0;
  if (r->frame) fill_framed(r, at, SEND_BYTES, iov, &count);
  else if (at < r->body_size) {
    uint64_t left = r->body_size - at;
    add_body(r, at, left < SEND_BYTES ? left : SEND_BYTES, iov, &count);
  }
  struct msghdr message = {.msg_iov = iov, .msg_iovlen = (size_t)count};
  ssize_t n = sendmsg(c->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (n < 0) {
    if (errno != EAGAIN) return -1;
    n = 0;
  }
  c->sent += (uint64_t)n;
  if (n > 0) c->progress_ns = now_ns();
  return 0;
}

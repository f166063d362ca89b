#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "load.h"

static char drop[DROP_BYTES];

static void take_location(struct connection *c, const char *value, size_t size) {
  const char *scheme = memmem(value, size, "://", 3);
  if (scheme) {
    const char *slash = memchr(scheme + 3, '/', size - (size_t)(scheme + 3 - value));
    if (!slash) return;
    size -= (size_t)(slash - value);
    value = slash;
  }
  if (size >= sizeof c->location) die("Location too long");
  memcpy(c->location, value, size);
  c->location[size] = 0;
  c->has_location = 1;
}

static int header_is(const char *line, size_t size, const char *name) {
  size_t n = strlen(name);
  return size > n && line[n] == ':' && strncasecmp(line, name, n) == 0;
}

/* Reads status and the headers that matter from in[0, end). */
static void parse_head(struct connection *c, const char *end) {
  c->status = c->in_size > 12 ? atoi(c->in + 9) : 0;
  c->length = -1;
  c->body_read = 0;
  c->close_after = 0;
  int chunked = 0;
  const char *line = memchr(c->in, '\n', (size_t)(end - c->in));
  while (line && ++line < end) {
    const char *stop = memchr(line, '\r', (size_t)(end - line));
    size_t size = (size_t)((stop ? stop : end) - line);
    const char *value = memchr(line, ':', size);
    if (value) {
      value++;
      while (value < line + size && *value == ' ') value++;
      size_t value_size = (size_t)(line + size - value);
      if (header_is(line, size, "content-length")) c->length = atoll(value);
      else if (header_is(line, size, "transfer-encoding")) chunked = 1;
      else if (header_is(line, size, "connection")) c->close_after = strncasecmp(value, "close", 5) == 0;
      else if (header_is(line, size, "location")) take_location(c, value, value_size);
    }
    line = memchr(line, '\n', (size_t)(end - line));
  }
  if (c->status < 200) return;
  if (c->req->is_head || c->status == 204 || c->status == 304) c->state = READ_DONE;
  else if (chunked) {
    c->state = READ_CHUNKED;
    c->chunk = CHUNK_SIZE;
    c->chunk_left = 0;
  } else {
    if (c->length < 0) die("an answer without a length");
    c->state = c->length > 0 ? READ_LENGTH : READ_DONE;
  }
}

/* Follows the chunked encoding; -1 when it is broken. */
static int take_chunked(struct connection *c, const char *data, size_t size) {
  for (size_t i = 0; i < size; i++) {
    char b = data[i];
    switch (c->chunk) {
      case CHUNK_SIZE:
        if (b == '\r') c->chunk = CHUNK_SIZE_LF;
        else if (b >= '0' && b <= '9') c->chunk_left = c->chunk_left * 16 + (b - '0');
        else if ((b | 32) >= 'a' && (b | 32) <= 'f') c->chunk_left = c->chunk_left * 16 + ((b | 32) - 'a' + 10);
        else return -1;
        break;
      case CHUNK_SIZE_LF:
        if (b != '\n') return -1;
        c->chunk = c->chunk_left ? CHUNK_DATA : CHUNK_TRAILER;
        c->trailer_line = 0;
        break;
      case CHUNK_DATA: {
        size_t n = size - i < (size_t)c->chunk_left ? size - i : (size_t)c->chunk_left;
        c->body_read += (int64_t)n;
        c->chunk_left -= (int64_t)n;
        i += n - 1;
        if (c->chunk_left == 0) c->chunk = CHUNK_DATA_CR;
        break;
      }
      case CHUNK_DATA_CR:
        if (b != '\r') return -1;
        c->chunk = CHUNK_DATA_LF;
        break;
      case CHUNK_DATA_LF:
        if (b != '\n') return -1;
        c->chunk = CHUNK_SIZE;
        break;
      case CHUNK_TRAILER:
        if (b == '\n') {
          if (c->trailer_line == 0) {
            c->state = READ_DONE;
            return i + 1 == size ? 0 : -1;
          }
          c->trailer_line = 0;
        } else if (b != '\r') c->trailer_line++;
        break;
    }
  }
  return 0;
}

/* Reads the head, and counts body bytes that came with it. */
static int read_head(struct connection *c) {
  if (c->in_size == HEAD_BYTES) return BROKEN;
  ssize_t n = recv(c->fd, c->in + c->in_size, HEAD_BYTES - c->in_size, 0);
  if (n == 0) return LOST;
  if (n < 0) return errno == EAGAIN ? WOULD_BLOCK : LOST;
  c->in_size += (size_t)n;
  for (;;) {
    char *end = memmem(c->in, c->in_size, "\r\n\r\n", 4);
    if (!end) return RECEIVED;
    parse_head(c, end + 2);
    if (c->status >= 200) {
      size_t used = (size_t)(end + 4 - c->in), rest = c->in_size - used;
      if (c->state == READ_CHUNKED) return take_chunked(c, c->in + used, rest) < 0 ? BROKEN : RECEIVED;
      if (c->state == READ_LENGTH) {
        c->body_read = (int64_t)rest;
        if (c->body_read == c->length) c->state = READ_DONE;
        return c->body_read > c->length ? BROKEN : RECEIVED;
      }
      return rest ? BROKEN : RECEIVED;
    }
    if (c->status < 100) return BROKEN;
    /* An interim answer: forget it, the real one follows. */
    c->in_size -= (size_t)(end + 4 - c->in);
    memmove(c->in, end + 4, c->in_size);
    c->state = READ_HEAD;
  }
}

static int read_body(struct connection *c) {
  if (c->state == READ_CHUNKED) {
    ssize_t n = recv(c->fd, drop, 256 << 10, 0);
    if (n == 0) return LOST;
    if (n < 0) return errno == EAGAIN ? WOULD_BLOCK : LOST;
    return take_chunked(c, drop, (size_t)n) < 0 ? BROKEN : RECEIVED;
  }
  int64_t left = c->length - c->body_read;
  /* The kernel drops the bytes instead of copying them: the cost of receiving is the server's, not ours. */
  ssize_t n = recv(c->fd, drop, left < DROP_BYTES ? (size_t)left : DROP_BYTES, MSG_TRUNC);
  if (n == 0) return LOST;
  if (n < 0) return errno == EAGAIN ? WOULD_BLOCK : LOST;
  c->body_read += n;
  if (c->body_read == c->length) c->state = READ_DONE;
  return RECEIVED;
}

/* Reads once from the connection. READ_DONE is its state when the answer is whole. */
int receive_some(struct connection *c) { return c->state == READ_HEAD ? read_head(c) : read_body(c); }

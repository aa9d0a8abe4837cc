#include "ufence/c/testing/program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "ufence/c/testing/adder.h"
#include "ufence/ufence.h"

#define STRING_(x) #x
#define STRING(x) STRING_(x)
#define CHECK(what)                                          \
  do {                                                       \
    if (!(what)) return "line " STRING(__LINE__) ": " #what; \
  } while (0)

static const int64_t patience_ns = 30000000000;

static int64_t now_ns(void) {
  struct timespec now;

  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t soon(void) { return now_ns() + patience_ns; }

static bool is_readable(int fd) {
  struct pollfd p = {.fd = fd, .events = POLLIN};

  return poll(&p, 1, 0) == 1 && (p.revents & POLLIN) != 0;
}

struct pair {
  struct ufence_fence* fence;
  struct ufence_signaler* right;
};

static struct pair make(void) {
  struct pair made = {NULL, NULL};

  if (ufence_fence_create(ufence_fence_allocate_contexts(1), 7, &made.fence, &made.right) != 0)
    abort();
  return made;
}

static void* signal_it(void* right) {
  ufence_signaler_signal(right, -EIO);
  return NULL;
}

const char* c_fences(void) {
  const uint64_t context = ufence_fence_allocate_contexts(3);
  struct pair one = make(), two = make();
  struct ufence_fence *fences[2] = {one.fence, two.fence}, *stub, *old;
  char name[32], text[128];
  pthread_t thread;
  int fd;

  CHECK(ufence_version() >> 16 == 0);
  CHECK(context != 0 && ufence_fence_allocate_contexts(1) >= context + 3);
  CHECK(ufence_fence_seqno(one.fence) == 7);
  CHECK(ufence_fence_context(one.fence) != ufence_fence_context(two.fence));
  CHECK(ufence_fence_is_signaled(one.fence) == 0 && ufence_fence_status(one.fence) == 0);
  CHECK(ufence_fence_timestamp_ns(one.fence) == 0);
  CHECK(ufence_fence_wait(one.fence, 0) == -ETIME);
  CHECK(ufence_fence_wait_any(fences, 2, 0) == -ETIME);
  CHECK(ufence_fence_wait_all(fences, 2, 0) == -ETIME);
  CHECK(ufence_fence_wait_any(fences, 0, 0) == -EINVAL);
  fd = ufence_fence_pollable_fd(one.fence);
  CHECK(fd >= 0 && !is_readable(fd));
  ufence_fence_enable_signaling(one.fence);
  ufence_fence_set_deadline(one.fence, soon());
  CHECK(ufence_fence_poll(one.fence) == 0);

  CHECK(pthread_create(&thread, NULL, signal_it, one.right) == 0);
  CHECK(ufence_fence_wait(one.fence, soon()) == 0);
  pthread_join(thread, NULL);
  CHECK(ufence_fence_wait_settled(one.fence, soon()) == 0);
  CHECK(ufence_fence_is_signaled(one.fence) == 1 && ufence_fence_is_settled(one.fence) == 1);
  CHECK(ufence_fence_status(one.fence) == -EIO);
  CHECK(ufence_fence_wait_result(one.fence, 0) == -EIO);
  CHECK(ufence_fence_wait_result(two.fence, 0) == -ETIME);
  CHECK(ufence_fence_timestamp_ns(one.fence) > 0);
  CHECK(ufence_fence_timestamp_ns(one.fence) <= now_ns());
  CHECK(ufence_fence_wait_any(fences, 2, 0) == 0);
  CHECK(ufence_fence_wait_all(fences, 2, 0) == -ETIME);
  CHECK(is_readable(fd));
  close(fd);
  CHECK(ufence_signaler_signal(two.right, 0) == 1);
  CHECK(ufence_fence_wait_all(fences, 2, UFENCE_NO_DEADLINE) == 0);
  CHECK(ufence_fence_wait_result(two.fence, 0) == 0);

  /* As snprintf(): the length, and what there is room for. */
  CHECK(ufence_fence_driver_name(one.fence, name, sizeof(name)) == strlen(name));
  CHECK(ufence_fence_describe(one.fence, text, sizeof(text)) == (long)strlen(text));
  CHECK(strstr(text, "error -5") != NULL);
  CHECK(ufence_fence_describe(one.fence, NULL, 0) == (long)strlen(text));
  CHECK(ufence_fence_describe(one.fence, name, 4) == (long)strlen(text) && strlen(name) == 3);

  stub = ufence_fence_get_stub();
  CHECK(ufence_fence_status(stub) == 1);
  ufence_fence_put(stub);
  CHECK(ufence_fence_create_signaled(42, &old) == 0);
  CHECK(ufence_fence_timestamp_ns(old) == 42 && ufence_fence_status(old) == 1);
  CHECK(ufence_fence_get(old) == old);
  ufence_fence_put(old);
  ufence_fence_put(old);
  ufence_fence_put(NULL);
  ufence_fence_put(one.fence);
  ufence_fence_put(two.fence);
  return NULL;
}

/* The macros before the two functions and the functions themselves say the same, and so does what lies
 * open of a fence once the functions have looked. */
static bool looks_are(struct ufence_fence* f, int status) {
  const struct ufence_fence_view* view = (const struct ufence_fence_view*)f;
  const bool is_signaled = status != 0;

  if (ufence_fence_is_signaled(f) != is_signaled || ufence_fence_status(f) != status) return false;
  if ((ufence_fence_is_signaled)(f) != is_signaled || (ufence_fence_status)(f) != status) return false;
  if (((view->state & UFENCE_FENCE_SIGNALED) != 0) != is_signaled) return false;
  return ufence_fence_is_signaled(f) == is_signaled && ufence_fence_status(f) == status &&
         (status >= 0 || view->error == status);
}

const char* c_inline_looks(void) {
  struct pair good = make(), bad = make();
  struct ufence_fence *both[2] = {good.fence, bad.fence}, *array, *chain, *imported, *stub, *on_time, *late;
  struct ufence_timeline_issuer* issuer;
  int file;

  CHECK(ufence_signaler_fence(good.right) == good.fence);
  CHECK(ufence_array_create(both, 2, UFENCE_ARRAY_ALL, &array) == 0);
  CHECK(ufence_chain_create(NULL, good.fence, 1, &chain) == 0);
  file = ufence_sync_file_export(bad.fence, NULL);
  CHECK(file >= 0 && ufence_sync_file_import(file, &imported) == 0);
  CHECK(looks_are(good.fence, 0) && looks_are(bad.fence, 0) && looks_are(array, 0));
  CHECK(looks_are(chain, 0) && looks_are(imported, 0));
  ufence_signaler_signal(good.right, 0);
  CHECK(looks_are(good.fence, 1) && looks_are(array, 0));
  ufence_signaler_signal(bad.right, -EIO);
  CHECK(looks_are(bad.fence, -EIO));
  CHECK(ufence_fence_wait(array, soon()) == 0 && looks_are(array, -EIO));
  CHECK(ufence_fence_wait(chain, soon()) == 0 && looks_are(chain, 1));
  CHECK(ufence_fence_wait(imported, soon()) == 0 && looks_are(imported, -EIO));
  stub = ufence_fence_get_stub();
  CHECK(looks_are(stub, 1));

  /* The first look at a timeline's complete fence marks it: an inline one asks the function for that. */
  CHECK(ufence_timeline_create(NULL, &issuer) == 0);
  CHECK(ufence_timeline_emit(issuer, &on_time) == 0 && ufence_timeline_emit(issuer, &late) == 0);
  CHECK(looks_are(on_time, 0));
  ufence_timeline_signal_up_to(issuer, 1);
  CHECK(ufence_fence_is_signaled(on_time) == 1 && looks_are(on_time, 1) && looks_are(late, 0));
  ufence_timeline_fail(issuer, -EPIPE);
  CHECK(ufence_fence_status(late) == -EPIPE && looks_are(late, -EPIPE));
  ufence_timeline_drop(issuer);

  close(file);
  ufence_fence_put(good.fence);
  ufence_fence_put(bad.fence);
  ufence_fence_put(array);
  ufence_fence_put(chain);
  ufence_fence_put(imported);
  ufence_fence_put(stub);
  ufence_fence_put(on_time);
  ufence_fence_put(late);
  return NULL;
}

const char* c_rights(void) {
  struct pair f = make();
  struct ufence_signaler* timeout = ufence_signaler_share(f.right);
  struct ufence_settlement later = UFENCE_SETTLEMENT_INIT;

  CHECK(timeout != NULL);
  CHECK(ufence_signaler_decide(f.right, -ETIMEDOUT, &later) == 1);
  CHECK(ufence_fence_status(f.fence) == -ETIMEDOUT);
  CHECK(ufence_signaler_signal(timeout, 0) == 0);
  CHECK(ufence_fence_status(f.fence) == -ETIMEDOUT);
  ufence_settle(&later);
  CHECK(later.head == NULL && ufence_fence_is_settled(f.fence) == 1);
  ufence_settle(&later);
  ufence_signaler_drop(NULL);
  ufence_fence_put(f.fence);
  return NULL;
}

struct counted {
  struct ufence_fence_cb cb;
  struct ufence_fence* of;
  int runs;
};

static void count(struct ufence_fence* fence, struct ufence_fence_cb* cb) {
  struct counted* c = (struct counted*)(void*)cb;

  c->runs++;
  c->of = fence;
  *(int*)cb->data += 1;
}

static void free_it(struct ufence_fence* fence, struct ufence_fence_cb* cb) {
  (void)fence;
  *(int*)cb->data += 1;
  free(cb);
}

const char* c_callbacks(void) {
  int sum = 0;
  struct counted first = {.cb = {.fn = count, .data = &sum}}, second = first;
  struct ufence_fence_cb *freed = calloc(1, sizeof(*freed)), none = {.fn = NULL};
  struct pair f = make();

  CHECK(freed != NULL);
  freed->fn = free_it;
  freed->data = &sum;
  CHECK(ufence_fence_add_callback(f.fence, &none) == -EINVAL);
  CHECK(ufence_fence_add_callback(f.fence, &first.cb) == 0);
  CHECK(ufence_fence_add_callback(f.fence, &second.cb) == 0);
  CHECK(ufence_fence_add_callback(f.fence, freed) == 0);
  CHECK(ufence_fence_remove_callback(f.fence, &second.cb) == 1);
  CHECK(ufence_signaler_signal(f.right, 0) == 1);
  CHECK(first.runs == 1 && first.of == f.fence && second.runs == 0 && sum == 2);
  CHECK(ufence_fence_remove_callback(f.fence, &first.cb) == 0);
  CHECK(ufence_fence_add_callback(f.fence, &second.cb) == -ENOENT);
  CHECK(second.runs == 0);
  ufence_fence_put(f.fence);
  return NULL;
}

const char* c_timelines(void) {
  const struct ufence_timeline_options options = {.size = sizeof(options),
                                                  .driver_name = "demo",
                                                  .timeline_name = "queue",
                                                  .initial_seqno = 10};
  struct ufence_timeline_issuer* issuer;
  struct ufence_fence* f[4];
  char name[8];
  size_t i;

  CHECK(ufence_timeline_create(&options, &issuer) == 0);
  for (i = 0; i < 4; i++) CHECK(ufence_timeline_emit(issuer, &f[i]) == 0);
  CHECK(ufence_fence_seqno(f[0]) == 11);
  CHECK(ufence_fence_context(f[3]) == ufence_timeline_context(issuer));
  CHECK(ufence_timeline_emitted(issuer) == 14 && ufence_timeline_completed(issuer) == 10);
  ufence_timeline_signal_up_to(issuer, 12);
  CHECK(ufence_fence_status(f[0]) == 1 && ufence_fence_status(f[1]) == 1);
  CHECK(ufence_fence_status(f[2]) == 0);
  CHECK(ufence_timeline_completed(issuer) == 12);
  CHECK(ufence_timeline_signal(issuer, f[3], -EIO) == 1);
  CHECK(ufence_timeline_signal(issuer, f[3], 0) == 0);
  CHECK(ufence_fence_status(f[3]) == -EIO && ufence_fence_status(f[2]) == 0);
  ufence_timeline_fail(issuer, -ENODEV);
  ufence_timeline_drop(issuer);
  ufence_timeline_drop(NULL);
  CHECK(ufence_fence_status(f[2]) == -ENODEV && ufence_fence_status(f[1]) == 1);
  CHECK(ufence_fence_timeline_name(f[2], name, sizeof(name)) == 5 && strcmp(name, "queue") == 0);
  for (i = 0; i < 4; i++) ufence_fence_put(f[i]);
  return NULL;
}

struct issuer_data {
  struct ufence_backend backend; /* first */
  int enabled, polled, retired;
  int64_t deadline_ns;
};

static struct issuer_data* data_of(struct ufence_backend* backend) {
  return (struct issuer_data*)(void*)backend;
}

static int note_enable(struct ufence_backend* backend) {
  data_of(backend)->enabled++;
  return 0;
}

static int say_failed(struct ufence_backend* backend) {
  data_of(backend)->polled++;
  return -EIO;
}

static void note_deadline(struct ufence_backend* backend, int64_t deadline_ns) {
  data_of(backend)->deadline_ns = deadline_ns;
}

static void note_retire(struct ufence_backend* backend, uint8_t by_last_op) {
  data_of(backend)->retired += by_last_op <= 1;
}

const char* c_backends(void) {
  const struct ufence_backend_ops ops = {.enable_signaling = note_enable,
                                         .poll = say_failed,
                                         .set_deadline = note_deadline,
                                         .retire = note_retire};
  struct issuer_data first = {.backend = {&ops}}, second = first, third = first;
  struct ufence_timeline_issuer* issuer;
  struct ufence_fence_room* room;
  struct pair f;
  char name[8];

  CHECK(ufence_fence_create_with(ufence_fence_allocate_contexts(1), 7, &first.backend, &f.fence,
                                 &f.right) == 0);
  ufence_fence_set_deadline(f.fence, 99);
  CHECK(ufence_fence_wait(f.fence, 0) == -ETIME);
  CHECK(first.enabled == 1 && first.deadline_ns == 99 && first.retired == 0);
  CHECK(ufence_fence_poll(f.fence) == 1 && ufence_fence_status(f.fence) == -EIO);
  CHECK(first.polled == 1 && first.retired == 1);
  CHECK(ufence_signaler_signal(f.right, 0) == 0); /* the op's answer was first */
  ufence_fence_put(f.fence);

  CHECK(ufence_timeline_create(NULL, &issuer) == 0);
  CHECK(ufence_timeline_create_unordered(issuer, &second.backend, &f.fence, &f.right) == 0);
  CHECK(ufence_fence_seqno(f.fence) == 1);
  CHECK(ufence_fence_context(f.fence) != ufence_timeline_context(issuer));
  CHECK(second.retired == 0 && ufence_signaler_signal(f.right, 0) == 1 && second.retired == 1);
  ufence_fence_put(f.fence);

  CHECK(ufence_fence_room_reserve(&room) == 0);
  ufence_fence_room_drop(room);
  ufence_fence_room_drop(NULL);
  /* Without a pointer for the fence, the right has the only reference. */
  CHECK(ufence_fence_room_reserve(&room) == 0);
  ufence_timeline_create_reserved(issuer, room, NULL, NULL, &f.right);
  f.fence = ufence_fence_get(ufence_signaler_fence(f.right));
  CHECK(ufence_fence_seqno(f.fence) == 2 && ufence_signaler_signal(f.right, 0) == 1);
  CHECK(ufence_fence_status(f.fence) == 1);
  ufence_fence_put(f.fence);
  CHECK(ufence_fence_room_reserve(&room) == 0);
  ufence_timeline_fail(issuer, -EIO);
  CHECK(ufence_timeline_create_unordered(issuer, NULL, &f.fence, &f.right) == -ECANCELED);
  ufence_timeline_create_reserved(issuer, room, &third.backend, &f.fence, &f.right);
  ufence_timeline_drop(issuer);
  CHECK(ufence_fence_seqno(f.fence) == 3 && ufence_fence_status(f.fence) == 0);
  CHECK(ufence_fence_timeline_name(f.fence, name, sizeof(name)) == 0);
  CHECK(ufence_signaler_signal(f.right, -EPIPE) == 1);
  CHECK(ufence_fence_status(f.fence) == -EPIPE && third.retired == 1);
  ufence_fence_put(f.fence);
  return NULL;
}

const char* c_containers(void) {
  struct pair a = make(), b = make();
  struct ufence_fence *both[2] = {a.fence, b.fence}, *all, *any, *chain, *last, *merged;

  CHECK(ufence_array_create(both, 2, UFENCE_ARRAY_ALL, &all) == 0);
  CHECK(ufence_array_create(both, 2, UFENCE_ARRAY_ANY, &any) == 0);
  CHECK(ufence_array_create(both, 0, UFENCE_ARRAY_ALL, &merged) == -EINVAL);
  CHECK(ufence_array_create(both, 2, 9, &merged) == -EINVAL);
  CHECK(ufence_chain_create(NULL, a.fence, 1, &chain) == 0);
  CHECK(ufence_chain_create(chain, b.fence, 2, &last) == 0);
  CHECK(ufence_chain_create(chain, NULL, 3, &merged) == -EINVAL);
  CHECK(ufence_merge(both, 2, &merged) == 0);
  CHECK(ufence_signaler_signal(b.right, 0) == 1);
  CHECK(ufence_fence_poll(all) == 0 && ufence_fence_poll(any) == 1);
  CHECK(ufence_fence_poll(last) == 0 && ufence_fence_poll(merged) == 0);
  CHECK(ufence_signaler_signal(a.right, 0) == 1);
  CHECK(ufence_fence_wait(all, soon()) == 0 && ufence_fence_wait(last, soon()) == 0);
  CHECK(ufence_fence_wait(chain, soon()) == 0 && ufence_fence_wait(merged, soon()) == 0);
  ufence_fence_put(all);
  ufence_fence_put(any);
  ufence_fence_put(chain);
  ufence_fence_put(last);
  ufence_fence_put(merged);
  ufence_fence_put(a.fence);
  ufence_fence_put(b.fence);
  return NULL;
}

const char* c_sync_files(void) {
  struct pair a = make(), b = make();
  const int one = ufence_sync_file_export(a.fence, "one");
  const int two = ufence_sync_file_export(b.fence, NULL);
  const int both = ufence_sync_file_merge(one, two, "both");
  struct ufence_fence* same;

  CHECK(one >= 0 && two >= 0 && both >= 0);
  CHECK((fcntl(one, F_GETFD) & FD_CLOEXEC) != 0);
  CHECK(ufence_sync_file_export(NULL, NULL) == -EINVAL);
  CHECK(ufence_sync_file_merge(one, STDIN_FILENO, "x") == -ENOENT);
  CHECK(ufence_sync_file_import(one, &same) == 0 && same == a.fence);
  ufence_fence_put(same);
  CHECK(ufence_sync_file_import(-1, &same) == -EBADF);
  CHECK(ufence_sync_file_set_deadline(one, soon()) == 0);
  CHECK(!is_readable(one) && !is_readable(both));
  CHECK(ufence_signaler_signal(a.right, 0) == 1);
  CHECK(is_readable(one) && !is_readable(both));
  CHECK(ufence_signaler_signal(b.right, 0) == 1);
  CHECK(is_readable(both));
  close(one);
  close(two);
  close(both);
  ufence_fence_put(a.fence);
  ufence_fence_put(b.fence);
  return NULL;
}

const char* c_syncobjs(void) {
  struct pair f = make();
  struct ufence_syncobj *object, *again;
  struct ufence_syncobj_point points[2];
  struct ufence_fence* found;
  uint64_t number = 99;
  int fd;

  CHECK(ufence_syncobj_create(0, &object) == 0);
  points[0] = (struct ufence_syncobj_point){object, 1};
  points[1] = (struct ufence_syncobj_point){object, 2};
  CHECK(ufence_syncobj_wait(points, 1, 0, 0) == -EINVAL);
  CHECK(ufence_syncobj_wait(points, 1, 64, 0) == -EINVAL);
  CHECK(ufence_syncobj_wait(points, 1, UFENCE_SYNCOBJ_WAIT_FOR_SUBMIT, 0) == -ETIME);
  CHECK(ufence_syncobj_add_point(object, NULL, 1) == 0);
  CHECK(ufence_syncobj_add_point(object, f.fence, 2) == 0);
  CHECK(ufence_syncobj_wait(points, 2, 0, 0) == 0);
  CHECK(ufence_syncobj_wait(points, 2, UFENCE_SYNCOBJ_WAIT_ALL, 0) == -ETIME);
  CHECK(ufence_syncobj_wait(points + 1, 1, UFENCE_SYNCOBJ_WAIT_AVAILABLE, 0) == 0);
  CHECK(ufence_syncobj_query(object, &number) == 0 && number == 1);
  CHECK(ufence_syncobj_last_submitted(object, &number) == 0 && number == 2);
  CHECK(ufence_syncobj_find_fence(object, 3, &found) == -EINVAL);
  CHECK(ufence_syncobj_find_fence(object, 2, &found) == 0);
  CHECK(ufence_fence_poll(found) == 0);
  CHECK(ufence_signaler_signal(f.right, 0) == 1);
  CHECK(ufence_fence_poll(found) == 1);
  ufence_fence_put(found);
  CHECK(ufence_syncobj_query(object, &number) == 0 && number == 2);

  CHECK(ufence_syncobj_create(0, &again) == 0);
  CHECK(ufence_syncobj_find_fence_by(again, 5, 0, &found) == -ETIME);
  CHECK(ufence_syncobj_transfer(object, 3, again, 5, 0) == -EINVAL);
  CHECK(ufence_syncobj_transfer(NULL, 3, again, 5, 0) == -EINVAL);
  fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  CHECK(ufence_syncobj_notify(again, STDIN_FILENO, 5, 0) < 0);
  CHECK(ufence_syncobj_notify(again, fd, 5, 0) == 0 && !is_readable(fd));
  CHECK(ufence_syncobj_transfer(object, 2, again, 5, 0) == 0 && is_readable(fd));
  CHECK(ufence_syncobj_find_fence_by(again, 5, 0, &found) == 0);
  CHECK(ufence_fence_wait(found, soon()) == 0);
  ufence_fence_put(found);
  ufence_syncobj_put(again);
  close(fd);

  fd = ufence_syncobj_export(object);
  CHECK(fd >= 0);
  CHECK(ufence_syncobj_import(fd, &again) == 0 && again == object);
  CHECK(ufence_syncobj_import(STDIN_FILENO, &again) == -EINVAL);
  close(fd);
  CHECK(ufence_syncobj_replace_fence(again, NULL) == 0);
  CHECK(ufence_syncobj_query(object, &number) == 0 && number == 0);
  ufence_syncobj_put(again);
  CHECK(ufence_syncobj_get(object) == object);
  ufence_syncobj_put(object);
  ufence_syncobj_put(object);
  ufence_syncobj_put(NULL);
  ufence_fence_put(f.fence);
  return NULL;
}

const char* c_shared_timelines(void) {
  const struct ufence_shared_timeline_options options = {.size = sizeof(options), .name = "page"};
  struct ufence_shared_timeline *owner, *reader;
  struct ufence_fence* f;
  char name[8];
  int fd;

  CHECK(ufence_shared_timeline_create(&options, &owner) == 0);
  CHECK(ufence_shared_timeline_export(owner, 1) == -EPERM);
  fd = ufence_shared_timeline_export(owner, 0);
  CHECK(fd >= 0);
  CHECK(ufence_shared_timeline_import(fd, &reader) == 0);
  close(fd);
  CHECK(ufence_shared_timeline_is_owner(owner) == 1 && ufence_shared_timeline_is_owner(reader) == 0);
  CHECK(ufence_shared_timeline_may_signal(owner) == 1);
  CHECK(ufence_shared_timeline_may_signal(reader) == 0);
  CHECK(ufence_shared_timeline_name(reader, name, sizeof(name)) == 4 && strcmp(name, "page") == 0);
  CHECK(ufence_shared_timeline_signal(reader, 1) == -EPERM);
  CHECK(ufence_shared_timeline_wait(reader, 1, 0) == -ETIME);
  CHECK(ufence_shared_timeline_fence_at(reader, 2, &f) == 0);
  CHECK(ufence_shared_timeline_signal(owner, 2) == 0);
  CHECK(ufence_shared_timeline_value(reader) == 2);
  CHECK(ufence_shared_timeline_wait(reader, 1, 0) == 0);
  CHECK(ufence_fence_wait(f, soon()) == 0 && ufence_fence_status(f) == 1);
  ufence_fence_put(f);
  CHECK(ufence_shared_timeline_error(reader) == 0);
  CHECK(ufence_shared_timeline_fail(owner, -EIO) == 0);
  CHECK(ufence_shared_timeline_wait(reader, 3, UFENCE_NO_DEADLINE) == -EIO);
  CHECK(ufence_shared_timeline_error(reader) == -EIO);
  CHECK(ufence_shared_timeline_get(owner) == owner);
  ufence_shared_timeline_put(owner);
  ufence_shared_timeline_put(owner);
  ufence_shared_timeline_put(reader);
  ufence_shared_timeline_put(NULL);
  return NULL;
}

enum { BYTES_MAX = 8, ITEMS_MAX = 3 };

const char* c_channels(void) {
  const struct ufence_channel_options options = {
      .size = sizeof(options), .bytes_max = BYTES_MAX, .items_max = ITEMS_MAX};
  struct ufence_channel *ends[2], *adopted;
  struct ufence_channel_item items[ITEMS_MAX] = {{NULL, NULL, NULL, 0, 0}}, got[ITEMS_MAX];
  struct ufence_parcel parcel = {.size = sizeof(parcel), .tag = 7, .items = items};
  struct ufence_parcel room = {.size = sizeof(room)};
  struct pair f = make();
  char text[] = "four", bytes[BYTES_MAX];
  uint64_t number;
  int sockets[2];

  CHECK(ufence_channel_pair(&options, ends) == 0);
  items[0].fence = f.fence;
  CHECK(ufence_syncobj_create(1, &items[1].object) == 0);
  CHECK(ufence_syncobj_add_point(items[1].object, NULL, 3) == 0);
  CHECK(ufence_shared_timeline_create(NULL, &items[2].timeline) == 0);
  parcel.bytes = text;
  parcel.byte_count = sizeof(text);
  parcel.item_count = ITEMS_MAX;
  CHECK(ufence_channel_send(ends[0], NULL, 0) == -EINVAL);
  parcel.byte_count = BYTES_MAX + 1;
  CHECK(ufence_channel_send(ends[0], &parcel, 0) == -EMSGSIZE);
  parcel.byte_count = sizeof(text);
  items[0].object = items[1].object;
  CHECK(ufence_channel_send(ends[0], &parcel, 0) == -EINVAL); /* two things in one item */
  items[0].object = NULL;
  items[2].may_signal = 1;
  CHECK(ufence_channel_send(ends[0], &parcel, 0) == -EPERM); /* peers may not signal it */
  items[2].may_signal = 0;
  CHECK(ufence_channel_send(ends[0], &parcel, soon()) == 0);
  CHECK(is_readable(ufence_channel_fd(ends[1])));

  CHECK(ufence_channel_receive(ends[1], &room, 0) == -EINVAL); /* no room: it is still there */
  room.bytes = bytes;
  room.byte_count = sizeof(bytes);
  room.items = got;
  room.item_count = ITEMS_MAX;
  CHECK(ufence_channel_receive(ends[1], &room, soon()) == 0);
  CHECK(room.tag == 7 && room.byte_count == sizeof(text) && strcmp(bytes, "four") == 0);
  CHECK(room.item_count == 3 && room.sender_pid == getpid() && room.sender_uid == getuid());
  CHECK(got[0].fence == f.fence); /* in one process the very fence */
  CHECK(got[1].object != NULL && got[1].object != items[1].object && got[1].fence == NULL);
  CHECK(ufence_syncobj_query(got[1].object, &number) == 0 && number == 3);
  CHECK(ufence_shared_timeline_signal(items[2].timeline, 9) == 0);
  CHECK(ufence_shared_timeline_value(got[2].timeline) == 9 && got[2].may_signal == 0);
  room.byte_count = sizeof(bytes);
  room.item_count = ITEMS_MAX;
  CHECK(ufence_channel_receive(ends[1], &room, 0) == -ETIME);
  ufence_channel_destroy(ends[0]);
  CHECK(ufence_channel_receive(ends[1], &room, soon()) == -EPIPE);
  ufence_channel_destroy(ends[1]);
  ufence_channel_destroy(NULL);

  CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) == 0);
  CHECK(ufence_channel_adopt(sockets[0], NULL, &adopted) == 0);
  CHECK(ufence_channel_fd(adopted) == sockets[0]);
  ufence_channel_destroy(adopted);
  close(sockets[1]);
  CHECK(ufence_channel_adopt(open("/dev/null", O_RDWR | O_CLOEXEC), NULL, &adopted) < 0);

  CHECK(ufence_signaler_signal(f.right, 0) == 1);
  ufence_fence_put(f.fence);
  ufence_fence_put(got[0].fence);
  ufence_syncobj_put(items[1].object);
  ufence_syncobj_put(got[1].object);
  ufence_shared_timeline_put(items[2].timeline);
  ufence_shared_timeline_put(got[2].timeline);
  return NULL;
}

/* What a load with one option says. */
static int load_with(struct ufence_module_host* host, const char* adder, const char* name,
                     const char* value) {
  const struct ufence_option_value option = {name, value};
  const struct ufence_load_options with = {
      .size = sizeof(with), .options_count = 1, .options = &option};
  struct ufence_module* none = NULL;

  return ufence_module_load_with(host, adder, &with, &none, NULL, 0);
}

const char* c_load_options(const char* adder) {
  struct ufence_module_host* host;
  struct ufence_module* module;
  struct adder_args args = {1, 2, NULL};
  struct ufence_job_request request = {.size = sizeof(request),
                                       .opcode = ADDER_KEEP,
                                       .args = &args,
                                       .args_size = sizeof(args)};
  const struct ufence_unload_options cancel = {.size = sizeof(cancel),
                                               .policy = UFENCE_UNLOAD_CANCEL};
  const struct ufence_option_value works = {"works", "yes"};
  struct ufence_load_options with = {.size = sizeof(with), .options_count = 1};
  struct ufence_unload_report report = {.size = sizeof(report)};
  struct ufence_fence *kept, *none;
  char why[256] = "";

  CHECK(ufence_module_host_create(&host) == 0);
  CHECK(load_with(host, adder, "works", "no") == -ENXIO);
  CHECK(load_with(host, adder, "speed", "1") == -EINVAL);
  CHECK(load_with(host, adder, NULL, "1") == -EINVAL);
  CHECK(load_with(host, adder, "works", NULL) == -EINVAL);
  CHECK(ufence_module_load_with(host, adder, &with, &module, why, sizeof(why)) == -EINVAL);
  CHECK(strstr(why, "no name or no value") != NULL);
  with.options = &works;
  with.pending_max = 1;
  with.interface_name = "adder";
  with.interface_version = 4;
  CHECK(ufence_module_load_with(host, adder, &with, &module, why, sizeof(why)) == -EPROTONOSUPPORT);
  CHECK(strstr(why, "adder 4 is wanted") != NULL);
  with.interface_version = 2;
  CHECK(ufence_module_load_with(host, adder, &with, &module, why, sizeof(why)) == 0);
  CHECK(ufence_module_submit(module, &request, &kept) == 0);
  CHECK(ufence_module_submit(module, &request, &none) == -EAGAIN);
  CHECK(ufence_module_unload(host, module, &cancel, &report) == 0);
  CHECK(report.state == UFENCE_UNLOAD_UNMAPPED);
  CHECK(ufence_fence_status(kept) == -ECANCELED);
  ufence_fence_put(kept);
  ufence_module_put(module);
  ufence_module_host_destroy(host);
  return NULL;
}

static int gives_up(const struct ufence_late_job* late, void* data) {
  int* asked = data;

  if (ufence_fence_is_signaled(late->fence) || ufence_fence_is_signaled(late->finished)) return -1;
  ++*asked;
  return UFENCE_TIMEOUT_GONE;
}

static const char* late_jobs(struct ufence_module* module) {
  int asked = 0;
  const struct ufence_scheduler_options options = {
      .size = sizeof(options), .timeout_ns = 1000000, .timed_out = gives_up, .data = &asked};
  struct ufence_job_request keep = {.size = sizeof(keep), .opcode = ADDER_KEEP};
  struct ufence_scheduler* scheduler;
  struct ufence_entity* entity;
  struct ufence_fence* finished;

  CHECK(ufence_scheduler_create(module, &options, &scheduler) == 0);
  CHECK(ufence_entity_create(scheduler, NULL, &entity) == 0);
  CHECK(ufence_entity_push(entity, &keep, 0, NULL, &finished) == 0);
  CHECK(ufence_fence_wait(finished, UFENCE_NO_DEADLINE) == 0);
  CHECK(ufence_fence_status(finished) == -ENODEV && asked == 1);
  ufence_fence_put(finished);
  ufence_entity_destroy(entity);
  CHECK(ufence_scheduler_destroy(scheduler, UFENCE_NO_DEADLINE) == 0);
  return NULL;
}

static void count_wakes(void* data) { __atomic_add_fetch((int*)data, 1, __ATOMIC_RELAXED); }

/* Two entities on a loop of the caller's: what is refused, what runs, what is killed. */
static const char* entities(struct ufence_module* module) {
  int wakes = 0;
  int64_t sum = 0;
  struct adder_args args = {40, 2, &sum};
  struct ufence_scheduler_options options = {
      .size = sizeof(options), .own_loop = 1, .wake = count_wakes, .data = &wakes, .order = 7};
  struct ufence_entity_options named = {.size = sizeof(named), .name = "a", .priority = 4};
  struct ufence_job_request add = {.size = sizeof(add), .args = &args, .args_size = sizeof(args)};
  struct ufence_scheduler_stats all = {.size = sizeof(all)};
  struct ufence_entity_stats own = {.size = sizeof(own)};
  struct ufence_scheduler* scheduler;
  struct ufence_entity *a, *b;
  struct ufence_fence *scheduled, *finished, *killed, *nothing = NULL;

  CHECK(ufence_scheduler_create(module, &options, &scheduler) == -EINVAL);
  options.order = UFENCE_SCHEDULE_FIFO;
  CHECK(ufence_scheduler_create(NULL, &options, &scheduler) == -EINVAL);
  CHECK(ufence_scheduler_create(module, &options, &scheduler) == 0);
  CHECK(ufence_entity_create(scheduler, &named, &a) == -EINVAL);
  named.priority = UFENCE_PRIORITY_HIGH;
  CHECK(ufence_entity_create(scheduler, &named, &a) == 0);
  CHECK(ufence_entity_create(scheduler, NULL, &b) == 0);
  CHECK(ufence_entity_set_priority(b, 4) == -EINVAL && ufence_entity_set_weight(b, 3) == 0);

  CHECK(ufence_entity_push(a, NULL, 1, NULL, &finished) == -EINVAL);
  add.in_fences = &nothing;
  add.in_fence_count = 1;
  CHECK(ufence_entity_push(a, &add, 1, NULL, &finished) == -EINVAL);
  add.in_fence_count = 0;
  CHECK(ufence_entity_push(a, &add, 1, &scheduled, &finished) == 0);
  CHECK(__atomic_load_n(&wakes, __ATOMIC_RELAXED) == 1 && sum == 0);
  CHECK(!ufence_fence_is_signaled(scheduled));
  CHECK(ufence_scheduler_run_ready(scheduler, SIZE_MAX) == 1);
  CHECK(ufence_fence_wait_result(finished, UFENCE_NO_DEADLINE) == 0 && sum == 42);
  CHECK(ufence_fence_status(scheduled) == 1);
  CHECK(ufence_scheduler_next_timeout_ns(scheduler) == UFENCE_NO_DEADLINE);

  CHECK(ufence_entity_push(b, &add, 1, NULL, &killed) == 0);
  CHECK(ufence_entity_kill(b, -EIO) == 0);
  CHECK(ufence_entity_flush(b, UFENCE_NO_DEADLINE) == 0);
  CHECK(ufence_fence_status(killed) == -EIO);
  CHECK(ufence_entity_get_stats(b, &own) == 0 && own.jobs_ended == 1 && own.last_error == -EIO);
  CHECK(ufence_scheduler_get_stats(scheduler, &all) == 0 && all.jobs_run == 1 && all.jobs_ended == 2);
  CHECK(ufence_scheduler_get_stats(scheduler, NULL) == -EINVAL);
  ufence_fence_put(killed);
  ufence_fence_put(finished);
  ufence_fence_put(scheduled);
  ufence_entity_destroy(a);
  CHECK(ufence_scheduler_destroy(scheduler, UFENCE_NO_DEADLINE) == 0);
  ufence_entity_destroy(b);
  return NULL;
}

const char* c_schedulers(const char* adder) {
  struct ufence_module_host* host;
  struct ufence_module *module, *next;
  int64_t sum = 0;
  struct adder_args args = {1, 2, &sum};
  const struct ufence_job_request add = {
      .size = sizeof(add), .args = &args, .args_size = sizeof(args)};
  const struct ufence_unload_options cancel = {.size = sizeof(cancel),
                                               .policy = UFENCE_UNLOAD_CANCEL};
  struct ufence_unload_report report = {.size = sizeof(report)};
  const struct ufence_entity_options impatient = {.size = sizeof(impatient),
                                                  .ends_without_device = 1};
  struct ufence_scheduler* scheduler;
  struct ufence_entity *patient, *other;
  struct ufence_fence *waits, *ends;
  const char* wrong;

  CHECK(ufence_module_host_create(&host) == 0);
  CHECK(ufence_module_load(host, adder, &module, NULL, 0) == 0);
  if ((wrong = entities(module)) != NULL || (wrong = late_jobs(module)) != NULL) return wrong;
  CHECK(ufence_scheduler_create(module, NULL, &scheduler) == 0);
  CHECK(ufence_entity_create(scheduler, NULL, &patient) == 0);
  CHECK(ufence_entity_create(scheduler, &impatient, &other) == 0);
  CHECK(ufence_module_unload(host, module, &cancel, &report) == 0);
  CHECK(report.state == UFENCE_UNLOAD_UNMAPPED);
  CHECK(ufence_entity_push(patient, &add, 1, NULL, &waits) == 0);
  CHECK(ufence_entity_push(other, &add, 1, NULL, &ends) == 0);
  CHECK(ufence_fence_wait_result(ends, UFENCE_NO_DEADLINE) == -ENODEV);
  CHECK(!ufence_fence_is_signaled(waits) && sum == 0);
  CHECK(ufence_module_load(host, adder, &next, NULL, 0) == 0);
  CHECK(ufence_scheduler_attach(scheduler, NULL) == 0);
  CHECK(ufence_scheduler_attach(scheduler, next) == 0);
  CHECK(ufence_fence_wait_result(waits, UFENCE_NO_DEADLINE) == 0 && sum == 3);
  ufence_fence_put(waits);
  ufence_fence_put(ends);
  ufence_entity_destroy(patient);
  ufence_entity_destroy(other);
  CHECK(ufence_scheduler_destroy(scheduler, UFENCE_NO_DEADLINE) == 0);
  CHECK(ufence_scheduler_destroy(NULL, 0) == 0);
  ufence_module_put(module);
  ufence_module_put(next);
  ufence_module_host_destroy(host);
  return NULL;
}

const char* c_modules(const char* adder, const char* missing) {
  struct ufence_module_host* host;
  struct ufence_module *module, *another;
  struct adder_args args = {40, 2, NULL};
  struct ufence_job_request request = {
      .size = sizeof(request), .args = &args, .args_size = sizeof(args)};
  const struct ufence_unload_options cancel = {.size = sizeof(cancel),
                                               .policy = UFENCE_UNLOAD_CANCEL};
  struct ufence_unload_options wrong = {.size = sizeof(wrong),
                                        .policy = 9};
  struct ufence_unload_options bounded = {.size = sizeof(bounded), .bounds_calls = 1};
  const struct ufence_load_options copied = {.size = sizeof(copied), .private_copy = 1};
  struct ufence_module_stats stats = {.size = sizeof(stats)};
  struct ufence_unload_report report = {.size = sizeof(report)};
  struct ufence_fence *sum_known, *kept, *kept_too, *refused;
  int64_t sum = 0;
  char why[256] = "", name[16];

  args.sum = &sum;
  CHECK(ufence_module_host_create(&host) == 0);
  CHECK(ufence_module_load(host, missing, &module, why, sizeof(why)) == -ENOENT);
  CHECK(strstr(why, "missing.so") != NULL);
  CHECK(ufence_module_load(host, missing, &module, NULL, 0) == -ENOENT);
  CHECK(ufence_module_load(host, adder, &module, why, sizeof(why)) == 0);
  CHECK(ufence_module_driver_name(module, name, sizeof(name)) == 5 && strcmp(name, "adder") == 0);
  CHECK(ufence_module_path(module, why, sizeof(why)) < sizeof(why) && strcmp(why, adder) == 0);
  CHECK(ufence_module_note(module, 0, NULL, 0) == -ENOENT);
  CHECK(ufence_module_features(module) == UFENCE_F_CANCEL);
  CHECK(ufence_module_is_independent(module) == 1 && ufence_module_instance(module) > 0);
  CHECK(ufence_module_context(module) != 0);
  CHECK(ufence_module_observe(module, NULL) == -EINVAL);
  CHECK(ufence_module_host_list(host, NULL, 0) == 1);
  CHECK(ufence_module_host_list(host, &another, 1) == 1);
  CHECK(ufence_module_instance(another) == ufence_module_instance(module));
  ufence_module_put(another);
  CHECK(ufence_module_load(host, adder, &another, NULL, 0) == -EEXIST);
  CHECK(ufence_module_submit(module, NULL, &kept) == -EINVAL);
  CHECK(ufence_module_submit(module, &request, &sum_known) == 0);
  CHECK(ufence_fence_wait(sum_known, soon()) == 0 && sum == 42);
  request.opcode = 77;
  CHECK(ufence_module_submit(module, &request, &refused) == 0);
  CHECK(ufence_fence_status(refused) == -EINVAL);
  request.opcode = ADDER_KEEP;
  CHECK(ufence_module_submit(module, &request, &kept) == 0);
  another = ufence_module_get(module);
  CHECK(another != NULL);
  CHECK(ufence_module_unload(host, module, &wrong, &report) == -EINVAL);
  CHECK(ufence_module_unload(host, module, &cancel, NULL) == -EINVAL);
  CHECK(ufence_module_unload(host, another, &cancel, &report) == 0);
  CHECK(report.state == UFENCE_UNLOAD_UNMAPPED && report.last_step == 8);
  CHECK(report.jobs_cancelled == 1 && report.pins[0] == 0 && report.duration_ns > 0);
  CHECK(report.kept[0] == 0 && ufence_module_host_list(host, NULL, 0) == 0);
  CHECK(ufence_module_host_retry_deferred(host) == 0);
  CHECK(ufence_module_get_stats(module, NULL) == -EINVAL);
  CHECK(ufence_module_get_stats(module, &stats) == 0);
  CHECK(stats.jobs_submitted == 3 && stats.jobs_pending == 0 && stats.entries == 0);
  CHECK(ufence_module_observe(module, kept) == -EOPNOTSUPP);
  ufence_module_put(another);
  CHECK(ufence_module_load_with(host, adder, &copied, &another, why, sizeof(why)) == 0);
  CHECK(ufence_module_submit(another, &request, &kept_too) == 0);
  report.size = offsetof(struct ufence_unload_report, kept); /* as a program that knows less */
  memset(report.kept, 'x', sizeof(report.kept));
  bounded.policy = UFENCE_UNLOAD_CANCEL;
  CHECK(ufence_module_unload(host, another, &bounded, &report) == 0);
  CHECK(report.state == UFENCE_UNLOAD_UNMAPPED && report.kept[0] == 'x');
  CHECK(ufence_fence_status(kept_too) == -ECANCELED);
  ufence_fence_put(kept_too);
  ufence_module_put(another);
  another = ufence_module_get(module);
  CHECK(ufence_fence_status(kept) == -ECANCELED && ufence_fence_status(sum_known) == 1);
  CHECK(ufence_fence_driver_name(kept, name, sizeof(name)) == 5 && strcmp(name, "adder") == 0);
  CHECK(ufence_module_submit(module, &request, &refused) == -ENODEV);
  CHECK(ufence_module_unload(host, module, &cancel, &report) == -ENODEV);
  ufence_fence_put(sum_known);
  ufence_fence_put(refused);
  ufence_fence_put(kept);
  ufence_module_put(module);
  ufence_module_put(another);
  ufence_module_put(NULL);
  ufence_module_host_destroy(host);
  ufence_module_host_destroy(NULL);
  return NULL;
}

struct heard {
  int reports;
  uint64_t seqno;
  char kind[64];
};

static void hear(const struct ufence_report* report, void* data) {
  struct heard* heard = data;

  heard->reports++;
  heard->seqno = report->seqno;
  strncpy(heard->kind, report->kind, sizeof(heard->kind) - 1);
}

const char* c_reports(void) {
  struct heard heard = {.reports = 0};
  const struct ufence_report_handler handler = {hear, &heard}, none = {NULL, NULL};
  struct pair f = make();

  CHECK(ufence_set_report_handler(&none) == -EINVAL);
  CHECK(ufence_set_report_handler(&handler) == 0);
  ufence_signaler_drop(f.right);
  CHECK(ufence_set_report_handler(NULL) == 0);
  CHECK(heard.reports == 1 && heard.seqno == 7 && strstr(heard.kind, "dropped") != NULL);
  CHECK(ufence_fence_status(f.fence) == -ECANCELED);
  ufence_fence_put(f.fence);
  return NULL;
}

const char* c_options(void) {
  /* As a program has them that was built with a later header. */
  struct {
    struct ufence_timeline_options known;
    uint64_t later;
  } newer = {.known = {.size = sizeof(newer), .driver_name = "newer"}, .later = 0};
  struct ufence_timeline_options older = {
      .size = offsetof(struct ufence_timeline_options, timeline_name),
      .driver_name = "older",
      .timeline_name = (const char*)1};
  struct ufence_timeline_issuer* issuer;

  CHECK(ufence_timeline_create(&newer.known, &issuer) == 0);
  ufence_timeline_drop(issuer);
  newer.later = 1;
  CHECK(ufence_timeline_create(&newer.known, &issuer) == -EINVAL);
  CHECK(ufence_timeline_create(&older, &issuer) == 0);
  ufence_timeline_drop(issuer);
  older.size = 0;
  CHECK(ufence_timeline_create(&older, &issuer) == -EINVAL);
  CHECK(ufence_timeline_create(NULL, &issuer) == 0);
  ufence_timeline_drop(issuer);
  return NULL;
}

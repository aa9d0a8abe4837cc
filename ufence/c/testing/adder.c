/* A driver for the tests of the C interface: adds, or keeps a job until it is cancelled. */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <ufence/driver.h>

#include "ufence/c/testing/adder.h"

static const struct ufence_host* host;

static int submit(void* state, struct ufence_job* job) {
  struct adder_args* args = job->args;

  (void)state;
  if (job->opcode == ADDER_KEEP) return 0;
  if (job->opcode != ADDER_ADD || job->args_size < sizeof(*args)) return -EINVAL;
  *args->sum = args->a + args->b;
  host->signal(job, 0);
  return 0;
}

static void cancel(void* state, struct ufence_job* job) {
  (void)state;
  host->signal(job, -ECANCELED);
}

static int init(const struct ufence_host* given, struct ufence_device* device, void** state) {
  (void)state;
  host = given;
  return strcmp(host->option(device, "works"), "yes") ? -ENXIO : 0;
}

static void nothing(void* state) { (void)state; }

static const struct ufence_device_ops ops = {
    .size = sizeof(ops), .submit = submit, .cancel = cancel};

static const struct ufence_option options[] = {{"works", "yes", "or init() fails"}};

UFENCE_DRIVER = {
    .size = sizeof(struct ufence_driver),
    .abi_version = UFENCE_ABI_VERSION,
    .name = "adder",
    .features = UFENCE_F_CANCEL,
    .ops = &ops,
    .init = init,
    .stop = nothing,
    .exit = nothing,
    .interface_name = "adder",
    .interface_version = 3,
    .options_count = 1,
    .options = options,
};

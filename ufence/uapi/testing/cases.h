/* Test programs of the kernel's interfaces, as their users write them: C, the numbers of the
   interface, the C library. Each program has cases, run by name: `program CASE`; `program --list`
   names them. */
#pragma once

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPECT(condition)                                                                          \
  do {                                                                                             \
    if (!(condition)) {                                                                            \
      fprintf(stderr, "%s:%d: not so: %s (errno %d, %s)\n", __FILE__, __LINE__, #condition, errno, \
              strerror(errno));                                                                    \
      exit(1);                                                                                     \
    }                                                                                              \
  } while (0)

/* A call fails, with this errno. */
#define EXPECT_ERRNO(call, number) \
  do {                             \
    errno = 0;                     \
    EXPECT((call) == -1);          \
    EXPECT(errno == (number));     \
  } while (0)

struct test_case {
  const char* name;
  void (*run)(void);
};

static inline int run_cases(const struct test_case* cases, size_t count, int argc, char** argv) {
  size_t i;

  if (argc == 2 && !strcmp(argv[1], "--list")) {
    for (i = 0; i < count; i++) puts(cases[i].name);
    return 0;
  }
  for (i = 0; argc == 2 && i < count; i++) {
    if (!strcmp(cases[i].name, argv[1])) {
      cases[i].run();
      return 0;
    }
  }
  fprintf(stderr, "usage: %s CASE | --list\n", argv[0]);
  return 2;
}

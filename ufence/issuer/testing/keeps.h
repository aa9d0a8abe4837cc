/* Libraries of tests: libkeeps.so keeps a function that it is given, libgoes.so gives it one of its own. */
#ifndef UFENCE_ISSUER_TESTING_KEEPS_H
#define UFENCE_ISSUER_TESTING_KEEPS_H

#if defined(__cplusplus)
extern "C" {
#endif

typedef int (*keeps_function)(void);

void keeps_set(keeps_function function);
int keeps_call(void);
/* The library's thread runs from then on. */
void keeps_start(void);

/* In the library's name. */
void keeps_at_exit(void (*function)(void));

void goes_register(void);

#if defined(__cplusplus)
}
#endif

#endif

/* A consumer in C99. Each function is one subject: null if all is right, else what is wrong. */
#ifndef UFENCE_C_TESTING_PROGRAM_H
#define UFENCE_C_TESTING_PROGRAM_H

#ifdef __cplusplus
extern "C" {
#endif

const char* c_fences(void);
const char* c_inline_looks(void);
const char* c_rights(void);
const char* c_callbacks(void);
const char* c_timelines(void);
const char* c_containers(void);
const char* c_sync_files(void);
const char* c_syncobjs(void);
const char* c_shared_timelines(void);
const char* c_backends(void);
const char* c_channels(void);
const char* c_modules(const char* adder, const char* missing);
const char* c_load_options(const char* adder);
const char* c_schedulers(const char* adder);
const char* c_reports(void);
const char* c_options(void);

#ifdef __cplusplus
}
#endif

#endif

/* A driver that imports functions by which things stay registered in the process (D-21), or by which other
   libraries start threads (D-13). They are weak: the libraries that have some of them need not be there, and
   none is called. */
#include "ufence/driver.h"

#define IMPORT(name)                                    \
	extern int name(void) __attribute__((weak));    \
	__attribute__((used)) static int (*const volatile import_##name)(void) = name;

IMPORT(on_exit)
IMPORT(openlog)
IMPORT(setitimer)
IMPORT(OPENSSL_atexit)
IMPORT(CRYPTO_set_mem_functions)
IMPORT(Py_AtExit)
IMPORT(sqlite3_auto_extension)
IMPORT(g_log_set_default_handler)
IMPORT(xmlSetGenericErrorFunc)
IMPORT(__register_frame)
IMPORT(fmemopen)
IMPORT(SDL_AddTimer)
IMPORT(g_timeout_add)
IMPORT(PyModule_Create2)
IMPORT(PyType_Ready)
IMPORT(register_printf_specifier)
IMPORT(uv_queue_work)
IMPORT(g_thread_pool_new)
IMPORT(_ZN3tbb6detail2r17enqueueERNS0_2d14taskEPNS2_15task_arena_baseE)
IMPORT(_ZSt25notify_all_at_thread_exitRSt18condition_variableSt11unique_lockISt5mutexE)
IMPORT(g_quark_from_static_string)
IMPORT(g_signal_connect_data)
IMPORT(CRYPTO_get_ex_new_index)
IMPORT(dlmopen)
IMPORT(curl_global_init_mem)
IMPORT(sqlite3_config)
IMPORT(xmlMemSetup)
#if defined(MAKES_TYPES)
IMPORT(g_type_register_static)
#endif
#if defined(STARTS_THREADS)
IMPORT(uv_thread_create)
IMPORT(g_thread_new)
IMPORT(SDL_CreateThread)
IMPORT(zmq_threadstart)
IMPORT(_ZN5boost6thread21start_thread_noexceptEv)
#endif

static int submit(void *state, struct ufence_job *job)
{
	(void)state;
	(void)job;
	return 0;
}
static const struct ufence_device_ops ops = {
	.size = sizeof(struct ufence_device_ops),
	.submit = submit,
};
static int init(const struct ufence_host *host, struct ufence_device *device, void **state)
{
	(void)host;
	(void)device;
	*state = 0;
	return 0;
}
static void quiet(void *state)
{
	(void)state;
}

UFENCE_DRIVER = {
	.size = sizeof(struct ufence_driver),
	.abi_version = UFENCE_ABI_VERSION,
	.name = "registers",
	.ops = &ops,
	.init = init,
	.stop = quiet,
	.exit = quiet,
};

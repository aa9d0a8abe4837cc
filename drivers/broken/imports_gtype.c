/* D-21: a type of GObject, which nobody can take back. */
#include "drivers/broken/broken.h"

extern unsigned long g_type_register_static_simple(unsigned long parent, const char *name);

static int submit(void *state, struct ufence_job *job)
{
	if (job->opcode == 99)
		g_type_register_static_simple(80, "Broken");
	return broken_submit(state, job);
}

static const struct ufence_device_ops ops = { .size = sizeof(ops), .submit = submit };

BROKEN_DRIVER("imports_gtype", 0, &ops);

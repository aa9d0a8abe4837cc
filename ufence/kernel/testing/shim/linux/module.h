/* A test is no module. */
#ifndef UFENCE_SHIM_LINUX_MODULE_H
#define UFENCE_SHIM_LINUX_MODULE_H

#define MODULE_LICENSE(text) UFENCE_STATIC_ASSERT(sizeof(text) > 1, "a name")
#define MODULE_DESCRIPTION(text) UFENCE_STATIC_ASSERT(sizeof(text) > 1, "a text")

#endif

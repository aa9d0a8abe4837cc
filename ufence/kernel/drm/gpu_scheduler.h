/* Where the kernel has it. */
#ifndef UFENCE_DRM_GPU_SCHEDULER_H
#define UFENCE_DRM_GPU_SCHEDULER_H

#include <linux/gpu_scheduler.h>

#endif

// The functions of a kernel's sources that the lab calls: C on the one side, C++ on the other. Fences are void*:
// their type is the tree's.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

enum {
  kernel_ops_bytes = 128,      // room for a driver's struct dma_fence_ops
  kernel_callback_bytes = 64,  // for a struct dma_fence_cb
};

struct kernel_site {
  const char* kind;
  const char* file;
  const char* function;
  unsigned long line;
};

struct kernel_fence_parts {
  void *flags, *ops, *references, *error, *timestamp, *lock;
};

/// `model` is given to the lab's kernel_op_*() functions, `callback` to kernel_run_callback().
struct kernel_glue_table {
  /// @param ops  kernel_ops_bytes that are the driver module's
  /// @param lock  the driver's word, or NULL: its own
  void* (*make)(void* model, void* ops, unsigned* lock);
  void (*parts)(void* fence, struct kernel_fence_parts* to);
  int (*is_signaled)(void* fence);
  int (*poll)(void* fence);
  int (*error)(void* fence);
  long (*timestamp)(void* fence);
  void (*read_names)(void* fence);
  void (*set_deadline)(void* fence);
  void (*enable_signaling)(void* fence);
  int (*add_callback)(void* fence, void* callback);
  int (*remove_callback)(void* fence, void* callback);
  int (*is_issued_by)(void* fence, void* ops);
  void (*get)(void* fence);
  void (*put)(void* fence);
  int (*signal)(void* fence, int error);
  /// A fence of two.
  void* (*make_array)(void* a, void* b);
  /// A reservation object.
  void* (*make_slot)(void* ops);
  void (*free_slot)(void* slot);
  void (*write_slot)(void* slot);
  unsigned long (*read_slot)(void* slot);
  const struct kernel_site *sites, *sites_end;
};

#ifdef __cplusplus
}
#endif

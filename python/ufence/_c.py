"""The C interface, ufence/ufence.h: the library and the prototypes of its functions."""

import ctypes
import os
from ctypes import (CFUNCTYPE, POINTER, Structure, c_char, c_char_p, c_int, c_int64, c_long, c_size_t,
                    c_uint32, c_uint64, c_void_p)

NO_DEADLINE = 2**63 - 1

library = ctypes.CDLL(os.environ.get("UFENCE_LIBRARY", "libufence.so.0"))


class FenceCb(Structure):
    pass


CALLBACK = CFUNCTYPE(None, c_void_p, POINTER(FenceCb))
FenceCb._fields_ = [("node", c_size_t * 8), ("fn", CALLBACK), ("data", c_void_p)]


class TimelineOptions(Structure):
    _fields_ = [("size", c_size_t), ("driver_name", c_char_p), ("timeline_name", c_char_p),
                ("initial_seqno", c_uint64)]


class SharedTimelineOptions(Structure):
    _fields_ = [("size", c_size_t), ("name", c_char_p), ("initial_point", c_uint64),
                ("peers_may_signal", c_int)]


class OptionValue(Structure):
    _fields_ = [("name", c_char_p), ("value", c_char_p)]


class LoadOptions(Structure):
    _fields_ = [("size", c_size_t), ("private_copy", c_int), ("pending_max", c_uint32),
                ("interface_name", c_char_p), ("interface_version", c_uint32),
                ("options_count", c_uint32), ("options", POINTER(OptionValue))]


class JobRequest(Structure):
    _fields_ = [("size", c_size_t), ("opcode", c_uint32), ("run_after_failed_in_fence", c_int),
                ("args", c_void_p), ("args_size", c_size_t), ("in_fences", POINTER(c_void_p)),
                ("in_fence_count", c_size_t)]


class UnloadOptions(Structure):
    _fields_ = [("size", c_size_t), ("policy", c_int), ("drain_deadline_ns", c_int64),
                ("give_up_ns", c_int64), ("bounds_calls", c_int)]


class UnloadReport(Structure):
    _fields_ = [("size", c_size_t), ("state", c_int), ("last_step", c_int), ("jobs_drained", c_uint64),
                ("jobs_cancelled", c_uint64), ("callbacks_removed", c_uint64), ("duration_ns", c_int64),
                ("pins", c_char * 256), ("kept", c_char * 256)]


class SchedulerOptions(Structure):
    _fields_ = [("size", c_size_t), ("name", c_char_p), ("credit_limit", c_uint32), ("order", c_uint32),
                ("timeout_ns", c_int64), ("passes_max", c_uint32), ("fails_after_reset", c_int),
                ("own_loop", c_int), ("wake", c_void_p), ("timed_out", c_void_p), ("data", c_void_p)]


class EntityOptions(Structure):
    _fields_ = [("size", c_size_t), ("name", c_char_p), ("priority", c_uint32), ("weight", c_uint32),
                ("errors_max", c_uint32), ("propagates_errors", c_int), ("ends_without_device", c_int)]


class EntityStats(Structure):
    _fields_ = [("size", c_size_t), ("jobs_pushed", c_uint64), ("jobs_ended", c_uint64),
                ("device_time_ns", c_int64), ("timeouts", c_uint32), ("last_error", c_int)]


HANDLE = POINTER(c_void_p)  # where a handle is written to

_PROTOTYPES = {
    "version": (c_uint32,),
    "fence_create": (c_int, c_uint64, c_uint64, HANDLE, HANDLE),
    "fence_get_stub": (c_void_p,),
    "fence_allocate_contexts": (c_uint64, c_uint64),
    "fence_get": (c_void_p, c_void_p),
    "fence_put": (None, c_void_p),
    "fence_is_signaled": (c_int, c_void_p),
    "fence_is_settled": (c_int, c_void_p),
    "fence_status": (c_int, c_void_p),
    "fence_timestamp_ns": (c_int64, c_void_p),
    "fence_context": (c_uint64, c_void_p),
    "fence_seqno": (c_uint64, c_void_p),
    "fence_driver_name": (c_size_t, c_void_p, c_char_p, c_size_t),
    "fence_timeline_name": (c_size_t, c_void_p, c_char_p, c_size_t),
    "fence_describe": (c_long, c_void_p, c_char_p, c_size_t),
    "fence_poll": (c_int, c_void_p),
    "fence_set_deadline": (None, c_void_p, c_int64),
    "fence_add_callback": (c_int, c_void_p, POINTER(FenceCb)),
    "fence_remove_callback": (c_int, c_void_p, POINTER(FenceCb)),
    "signaler_signal": (c_int, c_void_p, c_int),
    "signaler_drop": (None, c_void_p),
    "timeline_create": (c_int, POINTER(TimelineOptions), HANDLE),
    "timeline_emit": (c_int, c_void_p, HANDLE),
    "timeline_signal_up_to": (None, c_void_p, c_uint64),
    "timeline_signal": (c_int, c_void_p, c_void_p, c_int),
    "timeline_fail": (None, c_void_p, c_int),
    "timeline_context": (c_uint64, c_void_p),
    "timeline_completed": (c_uint64, c_void_p),
    "timeline_drop": (None, c_void_p),
    "fence_wait_any": (c_long, HANDLE, c_size_t, c_int64),
    "array_create": (c_int, HANDLE, c_size_t, c_int, HANDLE),
    "merge": (c_int, HANDLE, c_size_t, HANDLE),
    "sync_file_export": (c_int, c_void_p, c_char_p),
    "sync_file_import": (c_int, c_int, HANDLE),
    "sync_file_merge": (c_int, c_int, c_int, c_char_p),
    "shared_timeline_create": (c_int, POINTER(SharedTimelineOptions), HANDLE),
    "shared_timeline_import": (c_int, c_int, HANDLE),
    "shared_timeline_put": (None, c_void_p),
    "shared_timeline_export": (c_int, c_void_p, c_int),
    "shared_timeline_value": (c_uint64, c_void_p),
    "shared_timeline_error": (c_int, c_void_p),
    "shared_timeline_signal": (c_int, c_void_p, c_uint64),
    "shared_timeline_fail": (c_int, c_void_p, c_int),
    "shared_timeline_fence_at": (c_int, c_void_p, c_uint64, HANDLE),
    "module_host_create": (c_int, HANDLE),
    "module_host_destroy": (None, c_void_p),
    "module_load_with": (c_int, c_void_p, c_char_p, POINTER(LoadOptions), HANDLE, c_char_p, c_size_t),
    "module_put": (None, c_void_p),
    "module_driver_name": (c_size_t, c_void_p, c_char_p, c_size_t),
    "module_submit": (c_int, c_void_p, POINTER(JobRequest), HANDLE),
    "module_unload": (c_int, c_void_p, c_void_p, POINTER(UnloadOptions), POINTER(UnloadReport)),
    "scheduler_create": (c_int, c_void_p, POINTER(SchedulerOptions), HANDLE),
    "scheduler_destroy": (c_int, c_void_p, c_int64),
    "scheduler_attach": (c_int, c_void_p, c_void_p),
    "entity_create": (c_int, c_void_p, POINTER(EntityOptions), HANDLE),
    "entity_destroy": (None, c_void_p),
    "entity_push": (c_int, c_void_p, POINTER(JobRequest), c_uint32, HANDLE, HANDLE),
    "entity_kill": (c_int, c_void_p, c_int),
    "entity_set_priority": (c_int, c_void_p, c_uint32),
    "entity_set_weight": (c_int, c_void_p, c_uint32),
    "entity_get_stats": (c_int, c_void_p, POINTER(EntityStats)),
}
for _name, (_result, *_arguments) in _PROTOTYPES.items():
    _function = getattr(library, "ufence_" + _name)
    _function.restype = _result
    _function.argtypes = _arguments
    globals()[_name] = _function

// What is measured: each function adds its results to the session.
#pragma once

#include "bench/harness.h"

namespace ufence::bench {

void locked_after_store(session& s);
void is_signaled(session& s);
void create_signal_release(session& s);
void create_with_data(session& s);
void signal_up_to_1(session& s);
void signal_up_to_1000(session& s);
void signal_up_to_1000000(session& s);
void add_remove_callback(session& s);
void add_64_callbacks(session& s);
void poll_op(session& s);
void poll_op_or_lock(session& s);
void is_signaled_or_lock(session& s);
void c_is_signaled(session& s);
void c_create_signal_release(session& s);
void c_add_remove_callback(session& s);
void wake_waiter(session& s);
void array_of_64(session& s);
void kernel_create_signal_release(session& s);
void kernel_array_of_64(session& s);
void kernel_is_signaled(session& s);
void kernel_get_status(session& s);
void kernel_chain_walk(session& s);
void chain_walk_rcu(session& s);
void chain_walk(session& s);
void chain_build_signal_collect(session& s);
void merge_two_arrays(session& s);
void resv_iterate(session& s);
void sched_job(session& s);
void sched_job_and_node(session& s);
void sched_chain(session& s);
void sched_64_entities(session& s);
void sched_10000_entities(session& s);
void sched_fair(session& s);
void device_entity_job(session& s);
void shared_timeline_wake(session& s);
void sync_file_create_close(session& s);
void sync_file_create_close_on(session& s);
void sync_file_merge_two(session& s);
void sync_file_wake(session& s);
void sw_sync_random_merge(session& s);
void recorded_event(session& s);
void unload_load_0(session& s);
void unload_load_1000(session& s);
void unload_load_100000(session& s);

}  // namespace ufence::bench

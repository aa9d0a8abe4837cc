/* Annotations of the kernel's lock checker, which is not here. */
#ifndef UFENCE_LINUX_LOCKDEP_H
#define UFENCE_LINUX_LOCKDEP_H

struct lock_class_key {
	char ufence_unused;
};

struct lockdep_map {
	const char *name;
};

#define STATIC_LOCKDEP_MAP_INIT(map_name, key_pointer) { map_name }

#define lockdep_assert(condition) ((void)(condition))
#define lockdep_assert_once(condition) ((void)(condition))
#define lockdep_assert_held(lock) ((void)(lock))
#define lockdep_assert_held_once(lock) ((void)(lock))
#define lockdep_assert_held_read(lock) ((void)(lock))
#define lockdep_assert_held_write(lock) ((void)(lock))
#define lockdep_assert_not_held(lock) ((void)(lock))
#define lockdep_assert_none_held_once() ((void)0)
#define lockdep_assert_irqs_disabled() ((void)0)
#define lockdep_assert_irqs_enabled() ((void)0)
#define lockdep_assert_in_softirq() ((void)0)
#define lockdep_is_held(lock) ((void)(lock), 1)
#define lockdep_is_held_type(lock, how) ((void)(lock), 1)
#define lock_is_held(map) ((void)(map), 1)
#define might_lock(lock) ((void)(lock))
#define might_lock_read(lock) ((void)(lock))
#define might_lock_nested(lock, subclass) ((void)(lock))

#define lockdep_register_key(key) ((void)(key))
#define lockdep_unregister_key(key) ((void)(key))
#define lockdep_init_map(map, map_name, key, subclass)                                             \
	((map)->name = (map_name), (void)(key), (void)(subclass))
#define lockdep_set_class(lock, key) ((void)(lock), (void)(key))
#define lockdep_set_class_and_name(lock, key, name) ((void)(lock), (void)(key), (void)(name))
#define lockdep_set_class_and_subclass(lock, key, subclass) ((void)(lock), (void)(key))
#define lockdep_set_subclass(lock, subclass) ((void)(lock))
#define lockdep_set_novalidate_class(lock) ((void)(lock))
#define lock_map_acquire(map) ((void)(map))
#define lock_map_acquire_read(map) ((void)(map))
#define lock_map_acquire_tryread(map) ((void)(map))
#define lock_map_release(map) ((void)(map))
#define lockdep_off() ((void)0)
#define lockdep_on() ((void)0)

#endif

/* Double of ufence/kernel/linux/ufence.h for the lab: C's door to atomics leads to the explorer. */
#ifndef UFENCE_LAB_LINUX_UFENCE_H
#define UFENCE_LAB_LINUX_UFENCE_H

#pragma GCC system_header
#include_next <linux/ufence.h>

/* Headers of the system include some of <linux/...> as C. */
extern "C++" {

#include <source_location>
#include <type_traits>

#include "ufence/base/atomic.h"

namespace ufence::lab::c {

using site = std::source_location;
template <class T>
using value_of = std::remove_const_t<T>;

template <class T>
atomic<T>& word(T* p) noexcept {
  return *reinterpret_cast<atomic<T>*>(p);
}

template <class T>
value_of<T> load(T* p, std::memory_order order, site where = site::current()) noexcept {
  return reinterpret_cast<const atomic<value_of<T>>*>(p)->load(order, where);
}
template <class T>
void store(T* p, std::type_identity_t<T> value, std::memory_order order,
           site where = site::current()) noexcept {
  word(p).store(value, order, where);
}
template <class T>
T exchange(T* p, std::type_identity_t<T> value, site where = site::current()) noexcept {
  return word(p).exchange(value, mo::seq_cst, where);
}
template <class T>
T add(T* p, std::type_identity_t<T> value, site where = site::current()) noexcept {
  return word(p).fetch_add(value, mo::seq_cst, where);
}
template <class T>
T subtract(T* p, std::type_identity_t<T> value, site where = site::current()) noexcept {
  return word(p).fetch_sub(value, mo::seq_cst, where);
}
template <class T>
T bit_or(T* p, std::type_identity_t<T> value, site where = site::current()) noexcept {
  return word(p).fetch_or(value, mo::seq_cst, where);
}
template <class T>
T bit_and(T* p, std::type_identity_t<T> value, site where = site::current()) noexcept {
  return word(p).fetch_and(value, mo::seq_cst, where);
}
template <class T>
T bit_xor(T* p, std::type_identity_t<T> value, site where = site::current()) noexcept {
  return word(p).fetch_xor(value, mo::seq_cst, where);
}
template <class T>
T compare_exchange(T* p, std::type_identity_t<T> old, std::type_identity_t<T> value,
                   site where = site::current()) noexcept {
  word(p).compare_exchange(old, value, mo::seq_cst, mo::seq_cst, where);
  return old;
}

}  // namespace ufence::lab::c

}  // extern "C++"

#undef UFENCE_LOAD
#undef UFENCE_LOAD_ACQUIRE
#undef UFENCE_STORE
#undef UFENCE_STORE_RELEASE
#undef UFENCE_EXCHANGE
#undef UFENCE_ADD
#undef UFENCE_SUB
#undef UFENCE_OR
#undef UFENCE_AND
#undef UFENCE_XOR
#undef UFENCE_COMPARE_EXCHANGE
#define UFENCE_LOAD(p) ::ufence::lab::c::load(p, ::ufence::mo::relaxed)
#define UFENCE_LOAD_ACQUIRE(p) ::ufence::lab::c::load(p, ::ufence::mo::acquire)
#define UFENCE_STORE(p, value) ::ufence::lab::c::store(p, value, ::ufence::mo::relaxed)
#define UFENCE_STORE_RELEASE(p, value) ::ufence::lab::c::store(p, value, ::ufence::mo::release)
#define UFENCE_EXCHANGE(p, value) ::ufence::lab::c::exchange(p, value)
#define UFENCE_ADD(p, value) ::ufence::lab::c::add(p, value)
#define UFENCE_SUB(p, value) ::ufence::lab::c::subtract(p, value)
#define UFENCE_OR(p, value) ::ufence::lab::c::bit_or(p, value)
#define UFENCE_AND(p, value) ::ufence::lab::c::bit_and(p, value)
#define UFENCE_XOR(p, value) ::ufence::lab::c::bit_xor(p, value)
#define UFENCE_COMPARE_EXCHANGE(p, old, value) ::ufence::lab::c::compare_exchange(p, old, value)

#endif

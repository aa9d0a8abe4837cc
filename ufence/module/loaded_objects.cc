#include "ufence/module/loaded_objects.h"

#include <link.h>

#include <algorithm>
#include <exception>
#include <utility>

namespace ufence::detail {
namespace {

struct snapshot {
  std::vector<loaded_object> objects;  // the program comes first
  std::exception_ptr failed;
};

// The dynamic linker has added the load address to what the section points to; some machines leave the
// section as it is.
std::uintptr_t address_in(const dl_phdr_info& object, std::uintptr_t value) noexcept {
  return value < object.dlpi_addr ? value + object.dlpi_addr : value;
}

void read_dynamic(const dl_phdr_info& from, const ElfW(Dyn) * section, loaded_object& into) {
  const char* strings = nullptr;
  std::uint64_t flags = 0;
  for (const auto* d = section; d->d_tag != DT_NULL; ++d) {
    if (d->d_tag == DT_STRTAB) {
      strings = reinterpret_cast<const char*>(  // NOLINT(performance-no-int-to-ptr)
          address_in(from, d->d_un.d_ptr));
    }
    if (d->d_tag == DT_FLAGS) flags = d->d_un.d_val;
  }
  if ((flags & DF_STATIC_TLS) == 0) into.static_tls_size = 0;
  if (strings == nullptr) return;
  for (const auto* d = section; d->d_tag != DT_NULL; ++d) {
    if (d->d_tag == DT_NEEDED) into.needed.emplace_back(strings + d->d_un.d_val);
    if (d->d_tag == DT_SONAME) into.soname = strings + d->d_un.d_val;
  }
}

// The part of a segment that is protected once it is bound lies at its begin.
void leave_out_protected(loaded_object& o, address_range is_protected) noexcept {
  for (address_range& part : o.data) {
    if (is_protected.begin <= part.begin && is_protected.end > part.begin) {
      part.begin = std::min(is_protected.end, part.end);
    }
  }
}

// The dynamic linker holds its list still while it calls this.
int add_object(dl_phdr_info* from, std::size_t, void* to) {
  auto& into = *static_cast<snapshot*>(to);
  try {
    loaded_object o;
    o.path = from->dlpi_name;
    o.base = from->dlpi_addr;
    o.range.begin = UINTPTR_MAX;
    const ElfW(Dyn)* section = nullptr;
    address_range is_protected;
    for (int n = 0; n < from->dlpi_phnum; ++n) {
      const ElfW(Phdr)& part = from->dlpi_phdr[n];
      const std::uintptr_t at = from->dlpi_addr + part.p_vaddr;
      if (part.p_type == PT_LOAD) {
        o.range.begin = std::min(o.range.begin, at);
        o.range.end = std::max(o.range.end, at + part.p_memsz);
        if ((part.p_flags & PF_W) != 0) o.data.push_back({.begin = at, .end = at + part.p_memsz});
      }
      if (part.p_type == PT_GNU_RELRO) is_protected = {.begin = at, .end = at + part.p_memsz};
      if (part.p_type == PT_TLS) o.static_tls_size = part.p_memsz;
      if (part.p_type == PT_DYNAMIC) {
        section = reinterpret_cast<const ElfW(Dyn)*>(at);  // NOLINT(performance-no-int-to-ptr)
      }
    }
    leave_out_protected(o, is_protected);
    if (section != nullptr) read_dynamic(*from, section, o);
    into.objects.push_back(std::move(o));
    return 0;
  } catch (...) {
    into.failed = std::current_exception();
    return 1;
  }
}

}  // namespace

std::vector<loaded_object> objects_now() {
  snapshot s;
  ::dl_iterate_phdr(&add_object, &s);
  if (s.failed) std::rethrow_exception(s.failed);
  return std::move(s.objects);
}

std::vector<const loaded_object*> closure(const std::vector<loaded_object>& objects,
                                          const std::vector<std::string>& needed) {
  std::vector<const loaded_object*> found;
  std::vector<std::string> names = needed;
  for (std::size_t n = 0; n < names.size(); ++n) {
    const auto named = std::ranges::find_if(
        objects, [&](const loaded_object& o) { return o.has_name(names[n]); });
    if (named == objects.end() || std::ranges::find(found, &*named) != found.end()) continue;
    found.push_back(&*named);
    names.insert(names.end(), named->needed.begin(), named->needed.end());
  }
  return found;
}

}  // namespace ufence::detail

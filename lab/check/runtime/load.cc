// The explored program: a shared library, whose main() has another name.
#include <dlfcn.h>
#include <link.h>

#include <algorithm>
#include <cstring>
#include <span>

#include "lab/check/runtime/runtime.h"
#include "lab/engine/process_image.h"

namespace ufence::lab::check {
namespace {

struct exit_call {
  void (*run)(void*);
  void* argument;
};

constexpr std::size_t exit_calls_max = 64;
constinit exit_call exit_calls[exit_calls_max]{};
constinit std::size_t exit_call_count = 0;

// Not in static storage, which is put back: it is found out within the prelude, once.
constinit loaded_program* loaded = nullptr;

int note_segments(dl_phdr_info* info, std::size_t, void* path) {
  if (std::strcmp(info->dlpi_name, static_cast<const char*>(path)) != 0) return 0;
  loaded->base = info->dlpi_addr;
  std::uintptr_t constant_end = 0;  // what the loader makes constant once it has filled it
  for (const ElfW(Phdr) & p : std::span(info->dlpi_phdr, info->dlpi_phnum)) {
    if (p.p_type == PT_GNU_RELRO) constant_end = info->dlpi_addr + p.p_vaddr + p.p_memsz;
  }
  constexpr std::uintptr_t page = 4096;
  constant_end = constant_end / page * page;
  for (const ElfW(Phdr) & p : std::span(info->dlpi_phdr, info->dlpi_phnum)) {
    std::uintptr_t begin = info->dlpi_addr + p.p_vaddr;
    const std::uintptr_t end = begin + p.p_memsz;
    if (p.p_type != PT_LOAD || (p.p_flags & PF_W) == 0) continue;
    if (begin < constant_end) begin = constant_end;
    if (begin >= end) continue;
    const std::span<char> all(reinterpret_cast<char*>(begin), end - begin);
    loaded->segments.push_back({all, {all.begin(), all.end()}});
  }
  return 1;
}

int note_thread_data(dl_phdr_info* info, std::size_t, void* path) {
  if (std::strcmp(info->dlpi_name, static_cast<const char*>(path)) != 0) return 0;
  for (const ElfW(Phdr) & p : std::span(info->dlpi_phdr, info->dlpi_phnum)) {
    if (p.p_type != PT_TLS) continue;
    loaded->module = info->dlpi_tls_modid;
    loaded->thread_image = reinterpret_cast<const char*>(info->dlpi_addr + p.p_vaddr);
    loaded->thread_image_bytes = p.p_filesz;
    loaded->thread_bytes = p.p_memsz;
  }
  return 1;
}

void make_thread_data(void* at) {
  std::memset(at, 0, loaded->thread_bytes);
  std::memcpy(at, loaded->thread_image, loaded->thread_image_bytes);
}

}  // namespace

const loaded_program& program() noexcept { return *loaded; }

void prepare_program(const std::string& path) {
  make_places();
  notice_uncaught_exceptions();
  notice_crashes();
  loaded = new loaded_program;
  loaded->path = path;
}

// Its constructors run while it is opened, and may look at thread-local data.
void* load_program() {
  if (loaded->handle == nullptr) {
    void* const handle = ::dlopen(loaded->path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) {
      static_cast<void>(std::fprintf(stderr, "ufence: %s\n", ::dlerror()));
      std::_Exit(3);
    }
    mode::outside_scope outside;
    dl_iterate_phdr(&note_segments, loaded->path.data());
    loaded->main =
        reinterpret_cast<int (*)(int, char**, char**)>(::dlsym(handle, "ufence_lab_main"));
    loaded->handle = handle;
  }
  mode::outside_scope outside;
  for (const loaded_program::segment& s : loaded->segments) {
    std::ranges::copy(s.first, s.at.begin());
    process_image::add(s.at);
  }
  // What keys of the main thread lead to is not lost when main() returns.
  auto& values = data_of(0).key_values;
  process_image::add({reinterpret_cast<char*>(values.data()), sizeof values});
  return loaded->handle;
}

void run_program() {
  static char name[] = "program";
  static char* arguments[] = {name, nullptr};
  static char* environment[] = {nullptr};
  if (loaded->main == nullptr) fail(failure::not_explorable, "the program has no main()");
  const int status = loaded->main(1, arguments, environment);
  if (status != 0) {
    fail(failure::check_failed, "main() returns " + std::to_string(status));
  }
  destroy_thread_objects();
  while (exit_call_count != 0) {
    const exit_call last = exit_calls[--exit_call_count];
    last.run(last.argument);
  }
}

}  // namespace ufence::lab::check

using namespace ufence::lab::check;
using ufence::lab::failure;

UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(__cxa_atexit)(void (*run)(void*), void* argument, void*) {
  if (exit_call_count == exit_calls_max) {
    fail_at(failure::not_explorable, "has too many static objects", UFENCE_LAB_HERE);
  }
  exit_calls[exit_call_count++] = {run, argument};
  return 0;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(atexit)(void (*run)()) {
  return UFENCE_LAB_CALL(__cxa_atexit)(reinterpret_cast<void (*)(void*)>(run), nullptr, nullptr);
}

extern "C" void* __tls_get_addr(std::size_t*);

// Where a thread-local object is: a module and an offset in its data. Constructors ask for it while
// the program is being opened.
UFENCE_LAB_EXPORT void* UFENCE_LAB_CALL(__tls_get_addr)(std::size_t* index) {
  if (loaded == nullptr) return __tls_get_addr(index);
  if (loaded->module == 0) dl_iterate_phdr(&note_thread_data, loaded->path.data());
  if (index[0] != loaded->module) return __tls_get_addr(index);
  void* const data =
      ufence::lab::hooks::thread_local_data(loaded, loaded->thread_bytes, &make_thread_data);
  return static_cast<char*>(data) + index[1];
}

// Files in unusual states: changed while they are loaded, without a name, with libraries beside them that are
// missing or damaged, made to take memory.
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "ufence/base/fd.h"
#include "ufence/module/loader.h"
#include "ufence/module/module_test_support.h"

namespace ufence {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

std::unique_ptr<loaded_module> load(const std::string& path, bool private_copy = false) {
  auto loaded = loaded_module::load(path, private_copy);
  if (!loaded) {
    ADD_FAILURE() << loaded.error().why;
    return nullptr;
  }
  return std::move(*loaded);
}

load_failure failure_of(const std::string& path) {
  const auto loaded = loaded_module::load(path);
  if (loaded) {
    ADD_FAILURE() << path << " was loaded";
    return {};
  }
  return loaded.error();
}

// As cp and strip do: the same file, other bytes.
void write_in_place(const std::string& path, const std::string& bytes) {
  std::ofstream out(path, std::ios::binary | std::ios::in | std::ios::out);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

TEST(changed_in_place, is_told_to_those_that_load_it_again) {
  const scratch_folder folder;
  const std::string path = folder.copy("minimal", "driver.so");
  const auto module = load(path);
  ASSERT_TRUE(module);
  EXPECT_FALSE(module->was_changed_in_place());
  EXPECT_THAT(failure_of(path).why, Not(HasSubstr("changed in place")));
  write_in_place(path, read_file(path));
  EXPECT_TRUE(module->was_changed_in_place());
  const load_failure failure = failure_of(path);
  EXPECT_EQ(failure.error, EEXIST);
  EXPECT_THAT(failure.why, AllOf(HasSubstr("loaded already"), HasSubstr("changed in place since")));
}

TEST(changed_in_place, shows_through_restored_times) {
  const scratch_folder folder;
  const std::string path = folder.copy("minimal", "driver.so");
  const auto module = load(path);
  const auto time = fs::last_write_time(path);
  write_in_place(path, read_file(path));
  fs::last_write_time(path, time);
  EXPECT_TRUE(module->was_changed_in_place());
}

TEST(changed_in_place, is_not_said_of_a_file_that_was_renamed_replaced_or_removed) {
  const scratch_folder folder;
  const std::string path = folder.copy("minimal", "driver.so");
  const auto module = load(path);
  fs::rename(path, folder.path("moved.so"));
  EXPECT_FALSE(module->was_changed_in_place());
  fs::rename(folder.path("moved.so"), path);
  folder.copy("minimal_build_2", "driver.so");
  EXPECT_FALSE(module->was_changed_in_place());
  fs::remove(path);
  EXPECT_FALSE(module->was_changed_in_place());
}

TEST(private_copy, does_not_change_with_its_file) {
  const scratch_folder folder;
  const std::string path = folder.copy("minimal", "driver.so");
  const auto module = load(path, true);
  ASSERT_TRUE(module);
  std::string other = read_file(path);
  const auto at = other.find("build 1");
  ASSERT_NE(at, std::string::npos);
  other.replace(at, 7, "build 3");
  write_in_place(path, other);
  EXPECT_FALSE(module->was_changed_in_place());
  EXPECT_STREQ(module->driver().description, "build 1");
  // The new build loads beside it.
  const auto newer = load(path, true);
  ASSERT_TRUE(newer);
  EXPECT_STREQ(newer->driver().description, "build 3");
  fs::resize_file(path, 0);
  EXPECT_STREQ(newer->driver().description, "build 3");
  EXPECT_EQ(module->unload(), mapping::unmapped);
  EXPECT_EQ(newer->unload(), mapping::unmapped);
}

TEST(path, may_be_of_memory_or_of_a_file_without_a_name) {
  const std::string bytes = read_file(test_module("minimal"));
  const unique_fd memory(::memfd_create("module", MFD_CLOEXEC));
  ASSERT_EQ(::write(memory.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  EXPECT_EQ(load("/proc/self/fd/" + std::to_string(memory.get()))->unload(), mapping::unmapped);

  const scratch_folder folder;
  const std::string path = folder.copy("minimal", "driver.so");
  const unique_fd removed(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  fs::remove(path);
  EXPECT_EQ(load("/proc/self/fd/" + std::to_string(removed.get()))->unload(), mapping::unmapped);
}

TEST(path, may_look_like_what_the_dynamic_linker_expands) {
  const scratch_folder folder;
  for (const char* const name : {"$LIB", "$ORIGIN", "${PLATFORM}"}) {
    fs::create_directory(folder.path(name));
    const std::string path = folder.path(name) + "/driver.so";
    fs::copy_file(test_module("minimal"), path);
    const auto module = load(path);
    ASSERT_TRUE(module) << name;
    EXPECT_EQ(module->unload(), mapping::unmapped);
  }
}

TEST(path, is_what_debuggers_are_shown) {
  const auto module = load(test_module("minimal"));
  Dl_info info{};
  ASSERT_NE(::dladdr(&module->driver(), &info), 0);
  EXPECT_EQ(fs::canonical(info.dli_fname), fs::canonical(test_module("minimal")));
  EXPECT_EQ(std::string(info.dli_fname).find("/proc"), std::string::npos);
}

TEST(library_beside, is_found_by_origin) {
  const scratch_folder folder;
  const std::string path = folder.copy("needs_beside", "driver.so");
  fs::copy_file(test_module("libbeside"), folder.path("libbeside.so"));
  const auto module = load(path);
  ASSERT_TRUE(module);
  EXPECT_STREQ(module->driver().name, "minimal");
  EXPECT_EQ(module->unload(), mapping::unmapped);
  EXPECT_EQ(::dlopen(folder.path("libbeside.so").c_str(), RTLD_NOLOAD | RTLD_LAZY), nullptr);
}

TEST(library_beside, that_is_missing_is_named) {
  const scratch_folder folder;
  const load_failure failure = failure_of(folder.copy("needs_beside", "driver.so"));
  EXPECT_EQ(failure.error, ENOEXEC);
  EXPECT_THAT(failure.why, HasSubstr("needs libbeside.so, which was not found"));
}

TEST(library_beside, that_is_damaged_is_refused_before_it_is_mapped) {
  const scratch_folder folder;
  const std::string path = folder.copy("needs_beside", "driver.so");
  const std::string whole = read_file(test_module("libbeside"));
  for (const std::size_t size : {std::size_t{0}, std::size_t{100}, whole.size() / 4}) {
    const load_failure failure = failure_of((folder.write("libbeside.so", whole.substr(0, size)), path));
    EXPECT_EQ(failure.error, ENOEXEC);
    EXPECT_THAT(failure.why, HasSubstr("libbeside.so: "));
  }
}

TEST(library_beside, that_was_replaced_while_it_was_mapped_is_told) {
  const scratch_folder folder;
  const std::string path = folder.copy("needs_beside", "driver.so");
  folder.copy("libbeside", "libbeside.so");
  auto module = load(path);
  EXPECT_THAT(module->notes(), Not(Contains(HasSubstr("the old one stays in use"))));
  // Somebody keeps the library while the module is reloaded.
  void* const held = ::dlopen(folder.path("libbeside.so").c_str(), RTLD_LAZY | RTLD_LOCAL);
  ASSERT_NE(held, nullptr);
  ASSERT_EQ(module->unload(), mapping::unmapped);
  folder.copy("libbeside", "libbeside.so");
  module = load(path);
  EXPECT_THAT(module->notes(),
              Contains(AllOf(HasSubstr("libbeside.so"), HasSubstr("the old one stays in use"))));
  ASSERT_EQ(module->unload(), mapping::unmapped);
  ::dlclose(held);
  module = load(path);
  EXPECT_THAT(module->notes(), Not(Contains(HasSubstr("the old one stays in use"))));
}

TEST(inspect, an_executable_stack_is_warned_of) {
  EXPECT_THAT(inspect(test_module("minimal_exec_stack")).warnings,
              Contains(HasSubstr("executable stack")));
  EXPECT_TRUE(inspect(test_module("minimal")).warnings.empty());
}

TEST(inspect, exports_that_libraries_may_be_bound_to_are_warned_of) {
  EXPECT_THAT(inspect(test_module("exports_more")).warnings,
              Contains(AllOf(HasSubstr("D-14: exports"), HasSubstr("version script"))));
}

// A file that says that its strings take gigabytes, and has as many, of which the disk has none.
TEST(inspect, a_table_that_would_take_gigabytes_is_refused_at_once) {
  const scratch_folder folder;
  std::string bytes = read_file(test_module("minimal"));
  constexpr std::uint64_t huge = 8ULL << 30;
  Elf64_Ehdr head;
  std::memcpy(&head, bytes.data(), sizeof head);
  std::uint64_t last = 0;
  for (std::size_t n = 0; n < head.e_phnum; ++n) {
    const std::size_t at = head.e_phoff + n * sizeof(Elf64_Phdr);
    Elf64_Phdr p;
    std::memcpy(&p, bytes.data() + at, sizeof p);
    if (p.p_type == PT_LOAD) last = at;
    if (p.p_type != PT_DYNAMIC) continue;
    for (std::size_t o = p.p_offset; o < p.p_offset + p.p_filesz; o += sizeof(Elf64_Dyn)) {
      Elf64_Dyn d;
      std::memcpy(&d, bytes.data() + o, sizeof d);
      if (d.d_tag == DT_STRSZ) d.d_un.d_val = huge;
      std::memcpy(bytes.data() + o, &d, sizeof d);
    }
  }
  Elf64_Phdr p;
  std::memcpy(&p, bytes.data() + last, sizeof p);
  p.p_filesz = p.p_memsz = 2 * huge;
  std::memcpy(bytes.data() + last, &p, sizeof p);
  const std::string path = folder.write("sparse.so", bytes);
  fs::resize_file(path, 3 * huge);
  const module_info info = inspect(path);
  EXPECT_EQ(info.error, ENOEXEC);
  EXPECT_THAT(info.problems, Contains(HasSubstr("a string table of")));
}

}  // namespace
}  // namespace ufence

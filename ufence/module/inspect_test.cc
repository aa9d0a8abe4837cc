#include "ufence/module/inspect.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "ufence/driver.h"
#include "ufence/module/module_test_support.h"

namespace ufence {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

TEST(inspect, a_good_module_is_loadable_and_will_unmap) {
  const module_info info = inspect(test_module("minimal"));
  EXPECT_TRUE(info.is_loadable()) << info.problems[0];
  EXPECT_THAT(info.problems, IsEmpty());
  EXPECT_EQ(info.abi_version, UFENCE_ABI_VERSION);
  EXPECT_EQ(info.unmaps, unmapping::immediate);
  EXPECT_EQ(info.file_size, std::filesystem::file_size(test_module("minimal")));
  EXPECT_GT(info.memory_size, 0U);
}

TEST(inspect, needed_libraries_are_listed) {
  EXPECT_THAT(inspect(test_module("unmappable_std_thread")).needed,
              Contains(HasSubstr("libstdc++")));
}

TEST(inspect, a_file_that_is_not_there_says_so) {
  const module_info info = inspect("/nonexistent/module.so");
  EXPECT_EQ(info.error, ENOENT);
  EXPECT_THAT(info.problems, ElementsAre(HasSubstr("No such file")));
}

TEST(inspect, an_unreadable_file_says_so) {
  const scratch_folder folder;
  const std::string path = folder.copy("minimal", "unreadable.so");
  ASSERT_EQ(::chmod(path.c_str(), 0), 0);
  const uid_t user = ::geteuid();
  if (user == 0) {
    ASSERT_EQ(::seteuid(65534), 0);  // root reads everything
  }
  const module_info info = inspect(path);
  ASSERT_EQ(::seteuid(user), 0);
  EXPECT_EQ(info.error, EACCES);
}

TEST(inspect, what_stays_registered_is_warned_of_by_import) {
  const std::vector<std::string> warnings = inspect(test_module("registers")).warnings;
  for (const char* const name :
       {"setitimer", "OPENSSL_atexit", "CRYPTO_set_mem_functions", "Py_AtExit",
        "sqlite3_auto_extension", "g_log_set_default_handler", "xmlSetGenericErrorFunc",
        "__register_frame", "SDL_AddTimer", "g_timeout_add", "PyModule_Create2", "PyType_Ready",
        "uv_queue_work", "g_thread_pool_new", "g_quark_from_static_string",
        "g_signal_connect_data", "CRYPTO_get_ex_new_index", "dlmopen"}) {
    EXPECT_THAT(warnings, Contains(AllOf(HasSubstr("D-21: imports " + std::string(name) + ":"),
                                         HasSubstr("can't see it"))));
  }
  for (const char* const name : {"on_exit", "openlog", "fmemopen", "register_printf_specifier"}) {
    EXPECT_THAT(warnings, Contains(AllOf(HasSubstr("D-21: imports " + std::string(name) + ":"),
                                         HasSubstr("the unload looks, and keeps"))));
  }
  for (const char* const name : {"curl_global_init_mem", "sqlite3_config", "xmlMemSetup"}) {
    EXPECT_THAT(warnings, Contains(AllOf(HasSubstr("D-21: imports " + std::string(name) + ":"),
                                         HasSubstr("the static data of that library alone"))));
  }
  EXPECT_THAT(warnings, Contains(AllOf(HasSubstr("D-21: imports tbb::"), HasSubstr("before exit() returns wait for it"))));
  EXPECT_THAT(warnings, Contains(HasSubstr("D-21: imports std::notify_all_at_thread_exit(")));
  EXPECT_EQ(warnings.size(), 27U);
}

TEST(inspect, threads_that_other_libraries_start_are_refused_by_import) {
  const module_info info = inspect(test_module("registers_threads"));
  EXPECT_EQ(info.error, ENOEXEC);
  for (const char* const name : {"uv_thread_create", "g_thread_new", "SDL_CreateThread", "zmq_threadstart",
                                 "boost::thread::start_thread_noexcept()"}) {
    EXPECT_THAT(info.problems, Contains(HasSubstr("D-13: imports " + std::string(name) + ", which")));
  }
}

TEST(inspect, a_libstdcxx_that_is_linked_in_is_told_from_unique_symbols_of_the_modules_own) {
  EXPECT_THAT(inspect(test_module("unmappable_unique")).problems,
              Contains(AllOf(HasSubstr("D-14"), HasSubstr("-fno-gnu-unique"))));
  const std::string path = test_module("static_libstdcxx");
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "this build has none";
  EXPECT_THAT(inspect(path).problems,
              Contains(AllOf(HasSubstr("D-14"), HasSubstr("--exclude-libs,ALL"),
                             Not(HasSubstr("-fno-gnu-unique")))));
}

TEST(inspect, what_is_no_regular_file_is_not_opened) {
  const scratch_folder folder;
  const std::string fifo = folder.path("fifo.so");
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  for (const std::string& path : {fifo, folder.path(""), std::string("/dev/null")}) {
    const module_info info = inspect(path);
    EXPECT_EQ(info.error, ENOEXEC) << path;
    ASSERT_EQ(info.problems.size(), 1U) << path;
  }
  EXPECT_THAT(inspect(fifo).problems, ElementsAre("not a regular file"));
  EXPECT_THAT(inspect(folder.path("")).problems, ElementsAre("a directory"));
}

TEST(inspect, files_that_are_no_elf_say_so) {
  const scratch_folder folder;
  EXPECT_THAT(inspect(folder.write("empty.so", "")).problems, ElementsAre("the file is empty"));
  EXPECT_THAT(inspect(folder.write("text.so", "#!/bin/sh\n")).problems,
              ElementsAre("not an ELF file"));
  EXPECT_THAT(inspect(folder.write("short.so", "\177ELF")).problems,
              ElementsAre(HasSubstr("truncated")));
  EXPECT_THAT(inspect("/proc/self/exe").problems, Not(IsEmpty()));  // an executable
}

TEST(inspect, a_truncated_module_says_so) {
  const scratch_folder folder;
  const std::string path = folder.copy("minimal", "truncated.so");
  const auto whole = std::filesystem::file_size(path);
  // Section headers and debug information at the end are not loaded: cut into what is.
  std::filesystem::resize_file(path, whole / 4);
  const module_info info = inspect(path);
  EXPECT_EQ(info.error, ENOEXEC);
  EXPECT_THAT(info.problems, ElementsAre(HasSubstr("truncated")));
}

struct refusal {
  const char* module;
  int error;
  const char* reason;
};

class refused_module : public testing::TestWithParam<refusal> {};

TEST_P(refused_module, is_named_with_its_rule) {
  const module_info info = inspect(test_module(GetParam().module));
  EXPECT_EQ(info.error, GetParam().error);
  EXPECT_THAT(info.problems, ElementsAre(HasSubstr(GetParam().reason)));
}

INSTANTIATE_TEST_SUITE_P(
    inspect, refused_module,
    testing::Values(refusal{"minimal_no_note", ENOEXEC, "D-2: no ufence ABI note"},
                    refusal{"minimal_future", EPROTO, "D-2: built for ABI version 99"},
                    refusal{"minimal_no_entry", ENOEXEC, "D-1: exports no symbol ufence_driver"},
                    refusal{"minimal_starts_thread", ENOEXEC,
                            "D-13: imports pthread_create, which starts threads that an unload can't "
                            "account for: start them with thread_start()"},
                    refusal{"minimal_nodelete", ENOEXEC, "D-14: linked with -z nodelete"},
                    refusal{"minimal_nodlopen", ENOEXEC, "linked with -z nodlopen"},
                    refusal{"entry_is_code", ENOEXEC, "D-1: ufence_driver is not data"},
                    refusal{"unmappable_std_thread", ENOEXEC,
                            "D-13: imports std::thread::_M_start_thread("},
                    refusal{"registers_types", ENOEXEC, "D-21: imports g_type_register_static, which"},
                    refusal{"unmappable_unique", ENOEXEC, "D-14: defines GNU-unique symbols ("}),
    [](const auto& name) { return std::string(name.param.module); });

TEST(inspect, what_would_keep_it_mapped_is_told) {
  EXPECT_EQ(inspect(test_module("minimal_nodelete")).unmaps, unmapping::never);
  EXPECT_EQ(inspect(test_module("unmappable_unique")).unmaps, unmapping::never);
  const module_info with_thread_local = inspect(test_module("unmappable_thread_local"));
  EXPECT_TRUE(with_thread_local.is_loadable());
  EXPECT_EQ(with_thread_local.unmaps, unmapping::deferred);
  EXPECT_THAT(with_thread_local.warnings, ElementsAre(HasSubstr("D-14: has thread_local")));
}

TEST(inspect, a_writable_table_is_warned_about) {
  const module_info info = inspect(test_module("minimal_writable"));
  EXPECT_TRUE(info.is_loadable());
  EXPECT_THAT(info.warnings, ElementsAre("D-1: ufence_driver is writable data"));
  EXPECT_THAT(inspect(test_module("minimal")).warnings, IsEmpty());
}

TEST(inspect, all_problems_are_told_and_the_first_decides_the_error) {
  const scratch_folder folder;
  // The thread starter's file with its note's version changed: two rules broken at once.
  const std::string path = folder.copy("minimal_starts_thread", "two.so");
  std::string bytes = read_file(path);
  const std::string note(UFENCE_NOTE_NAME "\0\0\1\0\0\0", 12);
  const auto at = bytes.find(note);
  ASSERT_NE(at, std::string::npos);
  bytes[at + 8] = 7;
  const module_info info = inspect(folder.write("two.so", bytes));
  EXPECT_EQ(info.error, EPROTO);
  EXPECT_THAT(info.problems, ElementsAre(HasSubstr("D-2"), HasSubstr("D-13")));
}

int run_check_driver(const std::string& arguments) {
  const std::string command = std::string(UFENCE_CHECK_DRIVER) + " " + arguments + " 2>/dev/null";
  const int status = std::system(command.c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(check_driver, says_by_its_exit_status_what_a_host_would_do) {
  EXPECT_EQ(run_check_driver(test_module("minimal")), 0);
  EXPECT_EQ(run_check_driver(test_module("minimal") + " " + test_module("minimal_nodelete")), 1);
  EXPECT_EQ(run_check_driver("/nonexistent"), 1);
  EXPECT_EQ(run_check_driver(""), 2);
}

}  // namespace
}  // namespace ufence

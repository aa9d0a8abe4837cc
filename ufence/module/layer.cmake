# Installed with the package: ufence_add_driver() runs it after each link.
add_executable(ufence-check-driver "${CMAKE_CURRENT_LIST_DIR}/check_driver/main.cc")
add_executable(ufence::check_driver ALIAS ufence-check-driver)
target_link_libraries(ufence-check-driver PRIVATE ufence_module ufence_flags)
set_target_properties(ufence-check-driver PROPERTIES EXPORT_NAME check_driver)
install(TARGETS ufence-check-driver EXPORT ufence_targets
  RUNTIME DESTINATION "${CMAKE_INSTALL_LIBDIR}/ufence")

target_link_libraries(ufence_module PRIVATE ${CMAKE_DL_LIBS})

if(UFENCE_BUILD_TESTS)
  # Modules for tests: good ones, and one for each thing that is refused. In a folder of the name by
  # which the test main knows driver modules.
  include(ufence_add_driver)
  set(UFENCE_TEST_MODULE_DIRECTORY "${PROJECT_BINARY_DIR}/testing/ufence/drivers")
  set(UFENCE_TEST_MODULES "")
  # The names of the modules are added to UFENCE_TEST_MODULES.
  function(add_test_module name source)
    cmake_parse_arguments(PARSE_ARGV 2 arg "" "" "DEFINE;LINK;LIBRARIES;OPTIONS")
    ufence_add_driver(${name} ${arg_OPTIONS}
      SOURCES "${CMAKE_CURRENT_SOURCE_DIR}/${source}"
      LIBRARIES ${arg_LIBRARIES}
      OUTPUT_DIRECTORY "${UFENCE_TEST_MODULE_DIRECTORY}")
    target_compile_definitions(${name} PRIVATE ${arg_DEFINE})
    target_link_options(${name} PRIVATE ${arg_LINK})
    set(UFENCE_TEST_MODULES ${UFENCE_TEST_MODULES} ${name} PARENT_SCOPE)
  endfunction()
  set(broken OPTIONS NO_CHECK)
  set(flags LIBRARIES ufence_flags)
  set(unprotected OPTIONS NO_CHECK NO_PROTECTION)
  add_test_module(minimal module/testing/minimal.c)
  add_test_module(minimal_build_2 module/testing/minimal.c DEFINE BUILD="build 2")
  add_test_module(minimal_no_note module/testing/minimal.c DEFINE NO_NOTE ${broken})
  add_test_module(minimal_future module/testing/minimal.c DEFINE NOTE_VERSION=99 ${broken})
  add_test_module(minimal_no_entry module/testing/minimal.c DEFINE NO_ENTRY ${unprotected})
  add_test_module(minimal_writable module/testing/minimal.c DEFINE WRITABLE_ENTRY)
  add_test_module(minimal_null_ops module/testing/minimal.c DEFINE NULL_OPS)
  add_test_module(minimal_starts_thread module/testing/minimal.c DEFINE IMPORT_PTHREAD_CREATE ${broken})
  add_test_module(minimal_nodelete module/testing/minimal.c LINK LINKER:-z,nodelete ${broken})
  add_test_module(minimal_nodlopen module/testing/minimal.c LINK LINKER:-z,nodlopen ${broken})
  # More than is kept for what comes later, and a little.
  add_test_module(minimal_much_static_tls module/testing/minimal.c DEFINE STATIC_TLS=1048576)
  add_test_module(minimal_little_static_tls module/testing/minimal.c DEFINE STATIC_TLS=64)
  add_test_module(minimal_waits module/testing/minimal.c DEFINE WAITS)
  add_test_module(registers module/testing/registers.c)
  add_test_module(registers_types module/testing/registers.c DEFINE MAKES_TYPES ${broken})
  add_test_module(registers_threads module/testing/registers.c DEFINE STARTS_THREADS ${broken})
  add_test_module(entry_is_code module/testing/entry_is_code.c ${broken})
  add_test_module(unmappable_thread_local module/testing/unmappable.cc ${flags} DEFINE THREAD_LOCAL)
  add_test_module(unmappable_std_thread module/testing/unmappable.cc ${flags} DEFINE STD_THREAD ${broken})
  add_test_module(unmappable_unique module/testing/unmappable.cc ${flags} ${unprotected})
  add_library(libbeside MODULE "${CMAKE_CURRENT_SOURCE_DIR}/module/testing/beside.c")
  set_target_properties(libbeside PROPERTIES PREFIX "" SUFFIX ".so"
    LIBRARY_OUTPUT_DIRECTORY "${UFENCE_TEST_MODULE_DIRECTORY}")
  target_link_options(libbeside PRIVATE LINKER:-soname,libbeside.so)
  add_test_module(needs_beside module/testing/minimal.c DEFINE NEED_BESIDE ${broken}
    LIBRARIES "${UFENCE_TEST_MODULE_DIRECTORY}/libbeside.so")
  set_target_properties(needs_beside PROPERTIES BUILD_WITH_INSTALL_RPATH ON INSTALL_RPATH "$ORIGIN")
  add_dependencies(needs_beside libbeside)
  add_test_module(minimal_exec_stack module/testing/minimal.c LINK LINKER:-z,execstack ${broken})
  add_test_module(exports_more module/testing/exports_more.cc ${flags} ${unprotected})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND NOT UFENCE_SANITIZE)
    # The C++ library's own unique symbols, which no flag of the module's compiler takes away.
    add_test_module(static_libstdcxx module/testing/exports_more.cc ${flags} ${unprotected}
      DEFINE USES_STREAMS LINK -static-libstdc++)
    target_compile_options(static_libstdcxx PRIVATE -fno-gnu-unique)
  endif()
  target_compile_definitions(ufence_module_test_support
    PRIVATE UFENCE_TEST_MODULES="${UFENCE_TEST_MODULE_DIRECTORY}")
  add_dependencies(ufence_module_test_support ${UFENCE_TEST_MODULES})
  target_compile_definitions(module_inspect_test
    PRIVATE UFENCE_CHECK_DRIVER="$<TARGET_FILE:ufence-check-driver>")
  add_dependencies(module_inspect_test ufence-check-driver)
endif()

if(UFENCE_BUILD_TESTS)
  # Driver modules for tests: `puppet` does what it is told, in several kinds.
  set(UFENCE_TEST_MODULES "")
  set(puppet issuer/testing/puppet.cc LIBRARIES ufence_flags)
  set(all_ops "UFENCE_F_ENABLE|UFENCE_F_POLL|UFENCE_F_DEADLINE|UFENCE_F_CANCEL|UFENCE_F_OBSERVE")
  add_test_module(puppet ${puppet} DEFINE PUPPET_BUILD="build 1")
  add_test_module(puppet_build_2 ${puppet} DEFINE PUPPET_BUILD="build 2")
  add_test_module(puppet_plain ${puppet} DEFINE PUPPET_BUILD="plain" PUPPET_FEATURES=0)
  add_test_module(puppet_line ${puppet} DEFINE PUPPET_BUILD="line"
    PUPPET_FEATURES=UFENCE_F_TIMELINE|UFENCE_F_CANCEL|UFENCE_F_DEADLINE)
  add_test_module(puppet_legacy ${puppet} DEFINE PUPPET_BUILD="legacy"
    "PUPPET_FEATURES=(UFENCE_F_LEGACY|${all_ops})")
  add_test_module(puppet_init_fails ${puppet} DEFINE PUPPET_BUILD="fails" PUPPET_INIT_ERROR=-ENODEV)
  add_test_module(puppet_init_throws ${puppet} DEFINE PUPPET_BUILD="throws" PUPPET_INIT_THROWS)

  add_test_module(ends issuer/testing/ends.cc LIBRARIES ufence_flags)
  add_test_module(leaves issuer/testing/leaves.cc LIBRARIES ufence_flags)
  add_test_module(leaves_init_fails issuer/testing/leaves.cc LIBRARIES ufence_flags DEFINE INIT_FAILS)
  # Libraries that keep functions of others, beside the modules that need them.
  foreach(library IN ITEMS libkeeps libgoes)
    string(REPLACE lib "" source "${library}")
    add_library(${library} MODULE "${CMAKE_CURRENT_SOURCE_DIR}/issuer/testing/${source}.c")
    target_include_directories(${library} PRIVATE "${PROJECT_SOURCE_DIR}")
    set_target_properties(${library} PROPERTIES PREFIX "" SUFFIX ".so"
      LIBRARY_OUTPUT_DIRECTORY "${UFENCE_TEST_MODULE_DIRECTORY}"
      C_VISIBILITY_PRESET default
      BUILD_WITH_INSTALL_RPATH ON INSTALL_RPATH "$ORIGIN")
    target_link_options(${library} PRIVATE LINKER:-soname,${library}.so)
  endforeach()
  set(keeps "${UFENCE_TEST_MODULE_DIRECTORY}/libkeeps.so")
  set(goes "${UFENCE_TEST_MODULE_DIRECTORY}/libgoes.so")
  target_link_libraries(libgoes PRIVATE "${keeps}")
  target_link_libraries(libkeeps PRIVATE Threads::Threads)
  add_dependencies(libgoes libkeeps)
  set(gives issuer/testing/gives.cc OPTIONS NO_CHECK LIBRARIES ufence_flags)
  add_test_module(gives_itself ${gives} "${keeps}" DEFINE GIVES_ITSELF)
  add_test_module(gives_another ${gives} "${goes}" DEFINE GIVES_ANOTHER)
  add_test_module(gives_at_exit ${gives} "${keeps}" DEFINE GIVES_AT_EXIT)
  add_test_module(opens_library ${gives} DEFINE OPENS="${keeps}")
  foreach(module IN ITEMS gives_itself gives_another gives_at_exit opens_library)
    set_target_properties(${module} PROPERTIES BUILD_WITH_INSTALL_RPATH ON INSTALL_RPATH "$ORIGIN")
    add_dependencies(${module} libkeeps libgoes)
  endforeach()
  # A driver for each library with threads, or values of threads, that modules may bring.
  find_library(UFENCE_LIBPYTHON python3.11 REQUIRED)
  find_library(UFENCE_LIBMIMALLOC mimalloc REQUIRED)
  find_library(UFENCE_LIBTBB tbb REQUIRED)
  pkg_check_modules(liburcu REQUIRED IMPORTED_TARGET liburcu)
  # A test without its module is skipped: libgomp and a shared libasan come with g++ alone, a module for
  # another sanitizer than the program's is no module of a sanitizer's build, and ThreadSanitizer does not
  # see how these libraries synchronize.
  set(brings issuer/testing/brings.cc LIBRARIES ufence_flags)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND NOT UFENCE_SANITIZE MATCHES "thread")
    add_test_module(brings_openmp ${brings} gomp DEFINE BRINGS_OPENMP)
    target_compile_options(brings_openmp PRIVATE -fopenmp)
  endif()
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND NOT UFENCE_SANITIZE)
    add_test_module(brings_asan ${brings} DEFINE BRINGS_NOTHING
      LINK -fsanitize=address OPTIONS NO_CHECK)
    target_compile_options(brings_asan PRIVATE -fsanitize=address)
  endif()
  if(NOT UFENCE_SANITIZE MATCHES "thread")
    add_test_module(brings_urcu ${brings} PkgConfig::liburcu DEFINE BRINGS_URCU)
    add_test_module(brings_urcu_no_barrier ${brings} PkgConfig::liburcu
      DEFINE BRINGS_URCU NO_BARRIER)
    add_test_module(brings_tbb ${brings} ${UFENCE_LIBTBB} DEFINE BRINGS_TBB)
    add_test_module(brings_mimalloc ${brings} ${UFENCE_LIBMIMALLOC} DEFINE BRINGS_MIMALLOC)
    add_test_module(needs_four ${brings} PkgConfig::liburcu ${UFENCE_LIBTBB} "${keeps}" "${goes}"
      DEFINE BRINGS_NOTHING LINK LINKER:--no-as-needed)
    set_target_properties(needs_four PROPERTIES BUILD_WITH_INSTALL_RPATH ON INSTALL_RPATH "$ORIGIN")
    add_dependencies(needs_four libkeeps libgoes)
    add_test_module(brings_python ${brings} ${UFENCE_LIBPYTHON} DEFINE BRINGS_PYTHON)
    target_include_directories(brings_python SYSTEM PRIVATE /usr/include/python3.11)
  endif()

  target_compile_definitions(ufence_issuer_test_support
    PRIVATE UFENCE_TEST_MODULES="${UFENCE_TEST_MODULE_DIRECTORY}")
  target_link_libraries(ufence_issuer_test_support PUBLIC ufence_module_test_support)
  add_dependencies(ufence_issuer_test_support ${UFENCE_TEST_MODULES})
endif()

if(UFENCE_BUILD_TESTS)
  ufence_add_allocation_failure_test(issuer_allocation_failure_test
    LAYERS base rcu trace fence foreign container syncobj sched module issuer
    SOURCES "${CMAKE_CURRENT_LIST_DIR}/testing/allocation_failure_test.cc"
      "${CMAKE_CURRENT_LIST_DIR}/issuer_test_support.cc"
      "${CMAKE_CURRENT_LIST_DIR}/../module/module_test_support.cc"
    LINK ${CMAKE_DL_LIBS})
  target_compile_definitions(issuer_allocation_failure_test
    PRIVATE UFENCE_TEST_MODULES="${UFENCE_TEST_MODULE_DIRECTORY}")
  add_dependencies(issuer_allocation_failure_test ${UFENCE_TEST_MODULES})
endif()

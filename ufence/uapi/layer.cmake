# libufence-preload.so: what programs are run with. It needs the C library alone, and is linked as C:
# a use of the C++ library would not link. A sanitizer's runtime can't come into a program that was
# built without it, so neither it nor the programs of its tests have any; the broker has.
file(GLOB preload_sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_LIST_DIR}/preload/*.cc")
set(no_sanitizer "")
if(UFENCE_SANITIZE)
  set(no_sanitizer -fno-sanitize=all)
endif()
add_library(ufence_preload SHARED ${preload_sources})
target_link_libraries(ufence_preload PRIVATE ufence_flags ${CMAKE_DL_LIBS})
target_compile_options(ufence_preload PRIVATE -fno-exceptions -fno-rtti -fno-threadsafe-statics
  ${no_sanitizer})
file(RELATIVE_PATH program_from_library "/${CMAKE_INSTALL_LIBDIR}" "/${CMAKE_INSTALL_BINDIR}/ufence")
target_compile_definitions(ufence_preload PRIVATE
  UFENCE_PROGRAM_FROM_LIBRARY="${program_from_library}")
target_link_options(ufence_preload PRIVATE LINKER:-z,defs LINKER:-z,relro LINKER:-z,now
  ${no_sanitizer})
set_target_properties(ufence_preload PROPERTIES OUTPUT_NAME ufence-preload LINKER_LANGUAGE C)
install(TARGETS ufence_preload LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}")

if(UFENCE_BUILD_TESTS)
  # libFuzzer on all that the broker is told, where the compiler has it; requests by chance over its
  # socket are uapi_broker_fuzz_test.
  if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND NOT UFENCE_SANITIZE)
    file(GLOB broker_sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_LIST_DIR}/*.cc")
    list(FILTER broker_sources EXCLUDE REGEX "_test(_support)?\\.cc$")
    add_executable(uapi_broker_fuzzer "${CMAKE_CURRENT_LIST_DIR}/testing/broker_fuzzer.cc"
      ${broker_sources})
    target_link_libraries(uapi_broker_fuzzer PRIVATE ufence_sync)
    target_compile_options(uapi_broker_fuzzer PRIVATE -fsanitize=fuzzer,address)
    target_link_options(uapi_broker_fuzzer PRIVATE -fsanitize=fuzzer,address)
    ufence_add_command_test(uapi_broker_fuzzer LABEL fuzz TIMEOUT 300
      COMMAND uapi_broker_fuzzer -runs=2000 -max_len=1024 -len_control=0 -seed=1)
  endif()

  # As many as the suites have, but for a broker that is slowed down.
  set(stress_rounds 4096)
  if(UFENCE_SANITIZE)
    set(stress_rounds 256)
  endif()

  # Programs in C that know nothing of ufence; each case is a ctest of its own, uapi.CASE.
  # add_uapi_program(NAME): testing/NAME.c; the cases are the names in its table.
  function(add_uapi_program name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "LINK")
    set(source "${CMAKE_CURRENT_SOURCE_DIR}/uapi/testing/${name}.c")
    add_executable(uapi_${name} "${source}")
    target_link_libraries(uapi_${name} PRIVATE ufence_flags Threads::Threads ${arg_LINK})
    target_compile_definitions(uapi_${name} PRIVATE _GNU_SOURCE STRESS_ROUNDS=${stress_rounds})
    target_compile_options(uapi_${name} PRIVATE ${no_sanitizer})
    target_link_options(uapi_${name} PRIVATE ${no_sanitizer})
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${source}")
    file(STRINGS "${source}" rows REGEX "^[ \t]+{ ?\"[A-Z]")
    if(NOT rows)
      message(FATAL_ERROR "${source}: no cases")
    endif()
    foreach(row IN LISTS rows)
      string(REGEX REPLACE "^[^\"]*\"([A-Za-z0-9_]+)\".*" "\\1" case "${row}")
      ufence_add_command_test(uapi.${case} LABEL process TIMEOUT 300
        COMMAND ufence_tool uapi -- "$<TARGET_FILE:uapi_${name}>" ${case})
    endforeach()
  endfunction()
  add_uapi_program(kernel_selftests)
  add_uapi_program(igt_sw_sync)
  add_uapi_program(igt_syncobj_basic)
  add_uapi_program(igt_syncobj_wait)
  add_uapi_program(igt_syncobj_timeline)
  add_uapi_program(igt_dmabuf_sync_file)
  add_uapi_program(descriptors)
  add_uapi_program(connections)
  add_uapi_program(paths)

  pkg_check_modules(libdrm REQUIRED IMPORTED_TARGET libdrm)
  add_uapi_program(libdrm_client LINK PkgConfig::libdrm)

  # The same programs, linked statically: uapi.static.CASE. Left out is what takes hours or system calls
  # that nobody is asked about (ufence/uapi/README.md). A sanitizer's runtime can't be in a supervisor.
  if(NOT UFENCE_SANITIZE)
    function(add_static_uapi_program name)
      cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "WITHOUT")
      add_executable(uapi_static_${name} "${CMAKE_CURRENT_SOURCE_DIR}/uapi/testing/${name}.c")
      target_link_libraries(uapi_static_${name} PRIVATE ufence_flags Threads::Threads)
      target_compile_definitions(uapi_static_${name} PRIVATE _GNU_SOURCE STRESS_ROUNDS=64)
      target_link_options(uapi_static_${name} PRIVATE -static)
      file(STRINGS "${CMAKE_CURRENT_SOURCE_DIR}/uapi/testing/${name}.c" rows REGEX "^[ \t]+{ ?\"[A-Z]")
      foreach(row IN LISTS rows)
        string(REGEX REPLACE "^[^\"]*\"([A-Za-z0-9_]+)\".*" "\\1" case "${row}")
        if(NOT case IN_LIST arg_WITHOUT)
          ufence_add_command_test(uapi.static.${case} LABEL process TIMEOUT 300
            COMMAND ufence_tool uapi --seccomp -- "$<TARGET_FILE:uapi_static_${name}>" ${case})
        endif()
      endforeach()
    endfunction()
    add_static_uapi_program(igt_sw_sync
      WITHOUT SYNC_info_tells_names_and_times SYNC_names_of_devices SYNC_no_sockets
        SYNC_the_broker_may_be_killed)
    add_static_uapi_program(raw_calls)
    add_static_uapi_program(paths
      WITHOUT PATH_folders_have_no_more_either PATH_links_are_not_followed PATH_nothing_is_made_or_removed)
    add_static_uapi_program(igt_syncobj_basic)
    add_static_uapi_program(igt_syncobj_timeline)
    add_static_uapi_program(igt_dmabuf_sync_file
      WITHOUT BUFFER_buffers_are_memory BUFFER_waits_leave_what_the_kernel_leaves BUFFER_folders_list_nodes
        BUFFER_children_have_no_descriptors_of_waits)
  endif()

  # Measures, and asserts nothing: docs/NUMBERS.md.
  add_executable(uapi_round_trip "${CMAKE_CURRENT_LIST_DIR}/testing/round_trip.c")
  target_link_libraries(uapi_round_trip PRIVATE ufence_flags)
  target_compile_definitions(uapi_round_trip PRIVATE _GNU_SOURCE)
  target_compile_options(uapi_round_trip PRIVATE ${no_sanitizer})
  target_link_options(uapi_round_trip PRIVATE ${no_sanitizer})
  ufence_add_command_test(uapi.round_trip LABEL bench
    COMMAND ufence_tool uapi -- "$<TARGET_FILE:uapi_round_trip>")

  # Without `ufence uapi`: the first open() starts the broker, and the next ones find it.
  string(SHA256 broker "${PROJECT_BINARY_DIR}")
  foreach(case KS07_fence_multi_timeline_wait KS08_stress_two_threads_shared_timeline)
    ufence_add_command_test(uapi.first_open_starts_the_broker.${case} LABEL process
      COMMAND uapi_kernel_selftests ${case}
      ENVIRONMENT "LD_PRELOAD=$<TARGET_FILE:ufence_preload>"
        "UFENCE_UAPI_BROKER=ufence-uapi-test/${broker}")
  endforeach()
endif()

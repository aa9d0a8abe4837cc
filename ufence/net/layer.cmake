# Extras of the net layer.

target_link_libraries(ufence_net PUBLIC PkgConfig::libnats)

# libufence-net.so: the layer's objects over libufence.so.
add_library(ufence_net_library SHARED $<TARGET_OBJECTS:ufence_net>)
add_library(ufence::net ALIAS ufence_net_library)
set_target_properties(ufence_net_library PROPERTIES
  OUTPUT_NAME ufence-net
  EXPORT_NAME net
  VERSION ${PROJECT_VERSION}
  SOVERSION ${PROJECT_VERSION_MAJOR}
  LINKER_LANGUAGE CXX
  LINK_DEPENDS "${CMAKE_CURRENT_LIST_DIR}/net.map")
target_link_options(ufence_net_library PRIVATE "LINKER:--version-script=${CMAKE_CURRENT_LIST_DIR}/net.map"
  ${UFENCE_NO_UNDEFINED} LINKER:-Bsymbolic-functions LINKER:-z,nodelete LINKER:-z,relro LINKER:-z,now)
target_link_libraries(ufence_net_library PUBLIC ufence::ufence PRIVATE PkgConfig::libnats Threads::Threads)

if(UFENCE_BUILD_TESTS)
  # Another host of host_link_process_test.
  add_executable(net_host_program "${CMAKE_CURRENT_LIST_DIR}/testing/host_program.cc")
  target_link_libraries(net_host_program PRIVATE ufence_net)
  target_compile_definitions(net_host_link_process_test
    PRIVATE UFENCE_HOST_PROGRAM="$<TARGET_FILE:net_host_program>")
  add_dependencies(net_host_link_process_test net_host_program)

  # A cluster that elects its leaders takes some ten seconds, and longer where others use the machine.
  file(GENERATE OUTPUT "${CMAKE_CURRENT_BINARY_DIR}/net_servers_process_test_timeout.cmake" CONTENT
    "set_tests_properties(\${net_servers_process_test_TESTS} PROPERTIES TIMEOUT 600)\n")
  set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES
    "${CMAKE_CURRENT_BINARY_DIR}/net_servers_process_test_timeout.cmake")

  # libFuzzer on what is read from other hosts, where the compiler has it; the same checks over seeded
  # mutations are net_wire.any_bytes_are_borne.
  if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND NOT UFENCE_SANITIZE)
    add_executable(net_wire_fuzzer "${CMAKE_CURRENT_LIST_DIR}/testing/wire_fuzzer.cc"
      "${CMAKE_CURRENT_LIST_DIR}/wire.cc" "${CMAKE_CURRENT_LIST_DIR}/remote_point.cc")
    target_link_libraries(net_wire_fuzzer PRIVATE ufence_sync)
    target_compile_options(net_wire_fuzzer PRIVATE -fsanitize=fuzzer,address)
    target_link_options(net_wire_fuzzer PRIVATE -fsanitize=fuzzer,address)
    ufence_add_command_test(net_wire_fuzzer LABEL fuzz
      COMMAND net_wire_fuzzer -runs=300000 -max_len=512 -seed=1)
  endif()
endif()

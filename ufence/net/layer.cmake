# Extras of the net layer.

if(UFENCE_BUILD_TESTS)
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

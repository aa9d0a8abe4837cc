# Extras of the sync layer: tests that need more than one source and the layer's archive.

if(UFENCE_BUILD_TESTS)
  foreach(subject syncobj sync_file)
    ufence_add_allocation_failure_test(sync_${subject}_allocation_failure_test
      LAYERS base rcu trace io fence container syncobj sync
      SOURCES "${CMAKE_CURRENT_LIST_DIR}/testing/${subject}_allocation_failure_test.cc")
  endforeach()

  # libFuzzer on what is read from other processes, where the compiler has it; the same checks over
  # seeded mutations are sync_wire_fuzz_test and parcel_wire.any_bytes_are_borne.
  if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND NOT UFENCE_SANITIZE)
    set(fuzzed_by_wire wire.cc label.cc)
    set(fuzzed_by_parcel_wire parcel_wire.cc)
    foreach(subject wire parcel_wire)
      set(fuzzer sync_${subject}_fuzzer)
      list(TRANSFORM fuzzed_by_${subject} PREPEND "${CMAKE_CURRENT_LIST_DIR}/")
      add_executable(${fuzzer} "${CMAKE_CURRENT_LIST_DIR}/testing/${subject}_fuzzer.cc"
        ${fuzzed_by_${subject}})
      target_link_libraries(${fuzzer} PRIVATE ufence_sync)
      target_compile_options(${fuzzer} PRIVATE -fsanitize=fuzzer,address)
      target_link_options(${fuzzer} PRIVATE -fsanitize=fuzzer,address)
      ufence_add_command_test(${fuzzer} LABEL fuzz
        COMMAND ${fuzzer} -runs=300000 -max_len=512 -seed=1)
    endforeach()
  endif()

  # Sync files of the kernel, in a virtual machine; skipped where its kernel is not at hand.
  find_package(Python3 COMPONENTS Interpreter)
  find_library(UFENCE_STATIC_URCU NAMES liburcu-bp.a)
  mark_as_advanced(UFENCE_STATIC_URCU)
  if(Python3_FOUND AND UFENCE_STATIC_URCU AND NOT UFENCE_SANITIZE)
    add_executable(sync_kernel_files "${CMAKE_CURRENT_LIST_DIR}/testing/kernel_files.cc")
    # All static: it is alone in its machine. The layers by name, since their dependency is shared.
    set(below ufence_sync ufence_io ufence_syncobj ufence_container ufence_fence ufence_trace
      ufence_rcu ufence_base)
    list(TRANSFORM below REPLACE "(.+)" "$<TARGET_FILE:\\1>" OUTPUT_VARIABLE archives)
    target_link_libraries(sync_kernel_files PRIVATE ufence_flags ${archives} -lurcu-bp -lurcu-common)
    target_link_options(sync_kernel_files PRIVATE -static)
    add_dependencies(sync_kernel_files ${below})
    ufence_add_command_test(sync_kernel_files LABEL kernel TIMEOUT 300
      COMMAND Python3::Interpreter -B "${CMAKE_CURRENT_LIST_DIR}/testing/boot_kernel.py"
        "$<TARGET_FILE:sync_kernel_files>")
    set_tests_properties(sync_kernel_files PROPERTIES SKIP_RETURN_CODE 77)
  endif()
endif()

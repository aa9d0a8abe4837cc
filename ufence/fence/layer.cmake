# Extras of the fence layer: tests that need more than one source and the layer's archive.

if(TARGET fence_trace_points_process_test)
  target_compile_definitions(fence_trace_points_process_test
    PRIVATE UFENCE_LIBRARY="$<TARGET_FILE:ufence>")
  add_dependencies(fence_trace_points_process_test ufence)
endif()
if(TARGET fence_look_process_test)
  # It makes data pages read-only: the dynamic linker must not write to them any more.
  target_link_options(fence_look_process_test PRIVATE LINKER:-z,now)
endif()

if(UFENCE_BUILD_TESTS)
  ufence_add_allocation_failure_test(fence_allocation_failure_test LAYERS base rcu trace fence
    SOURCES "${CMAKE_CURRENT_LIST_DIR}/testing/allocation_failure_test.cc")
endif()

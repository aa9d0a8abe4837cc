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

# The sources of the layer and those below, over a double of ufence/base/alloc.h that lets the n-th
# allocation fail.
if(UFENCE_BUILD_TESTS)
  set(doubled_sources "")
  foreach(part base rcu fence)
    file(GLOB part_sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${part}/*.cc")
    list(FILTER part_sources EXCLUDE REGEX "_test(_support)?\\.cc$")
    list(APPEND doubled_sources ${part_sources})
  endforeach()
  ufence_add_test(fence_allocation_failure_test FENCES
    SOURCES "${CMAKE_CURRENT_LIST_DIR}/testing/allocation_failure_test.cc" ${doubled_sources}
    LINK ufence_core_flags PkgConfig::liburcu_bp)
  target_include_directories(fence_allocation_failure_test
    BEFORE PRIVATE "${CMAKE_CURRENT_LIST_DIR}/testing/doubles")
endif()

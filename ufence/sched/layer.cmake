# Extras of the sched layer: tests that need more than one source and the layer's archive.

if(UFENCE_BUILD_TESTS)
  # The sources of the layer and those below, over a double of ufence/base/alloc.h that lets the
  # n-th allocation fail.
  set(doubled_sources "")
  foreach(part base rcu fence container syncobj sched)
    file(GLOB part_sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${part}/*.cc")
    list(FILTER part_sources EXCLUDE REGEX "_test(_support)?\\.cc$")
    list(APPEND doubled_sources ${part_sources})
  endforeach()
  ufence_add_test(sched_allocation_failure_test FENCES
    SOURCES "${CMAKE_CURRENT_LIST_DIR}/testing/allocation_failure_test.cc"
      "${CMAKE_CURRENT_LIST_DIR}/sched_test_support.cc" ${doubled_sources}
    LINK ufence_core_flags PkgConfig::liburcu_bp)
  target_include_directories(sched_allocation_failure_test
    BEFORE PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}/fence/testing/doubles")
endif()

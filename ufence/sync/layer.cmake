# Extras of the sync layer: tests that need more than one source and the layer's archive.

if(UFENCE_BUILD_TESTS)
  target_link_libraries(sync_syncobj_model_test PRIVATE rapidcheck)

  # The sources of syncobjs and of the layers below, over a double of ufence/base/alloc.h that lets the
  # n-th allocation fail.
  set(doubled_sources "")
  foreach(part base rcu fence container sync)
    file(GLOB part_sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${part}/*.cc")
    list(FILTER part_sources EXCLUDE REGEX "_test(_support)?\\.cc$")
    list(APPEND doubled_sources ${part_sources})
  endforeach()
  ufence_add_test(sync_syncobj_allocation_failure_test FENCES
    SOURCES "${CMAKE_CURRENT_LIST_DIR}/testing/syncobj_allocation_failure_test.cc"
      ${doubled_sources}
    LINK ufence_core_flags PkgConfig::liburcu_bp)
  target_include_directories(sync_syncobj_allocation_failure_test
    BEFORE PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}/fence/testing/doubles")
endif()

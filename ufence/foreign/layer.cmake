# Extras of the foreign layer: tests that need more than one source and the layer's archive.

if(UFENCE_BUILD_TESTS)
  ufence_add_allocation_failure_test(foreign_allocation_failure_test LAYERS base rcu trace fence foreign
    SOURCES "${CMAKE_CURRENT_LIST_DIR}/testing/allocation_failure_test.cc")
endif()

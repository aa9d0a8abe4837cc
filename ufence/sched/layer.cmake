# Extras of the sched layer: tests that need more than one source and the layer's archive.

if(UFENCE_BUILD_TESTS)
  ufence_add_allocation_failure_test(sched_allocation_failure_test
    LAYERS base rcu trace fence container syncobj sched
    SOURCES "${CMAKE_CURRENT_LIST_DIR}/testing/allocation_failure_test.cc"
      "${CMAKE_CURRENT_LIST_DIR}/sched_test_support.cc")
endif()

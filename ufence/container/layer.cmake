# Extras of the container layer: tests that need more than one source and the layer's archive.

if(UFENCE_BUILD_TESTS)
  foreach(model container_merge_model_test container_chain_model_test container_resv_model_test)
    target_link_libraries(${model} PRIVATE rapidcheck)
  endforeach()

  ufence_add_allocation_failure_test(container_allocation_failure_test
    LAYERS base rcu trace fence container
    SOURCES "${CMAKE_CURRENT_LIST_DIR}/testing/allocation_failure_test.cc")
endif()

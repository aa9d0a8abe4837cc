# Extras of the syncobj layer.

if(UFENCE_BUILD_TESTS)
  target_link_libraries(syncobj_syncobj_model_test PRIVATE rapidcheck)
endif()

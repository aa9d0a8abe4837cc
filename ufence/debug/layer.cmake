# Driver modules that do as they are told.
if(UFENCE_BUILD_TESTS)
  target_link_libraries(debug_watchdog_test PRIVATE ufence_issuer_test_support)
endif()

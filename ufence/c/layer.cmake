# Extras of the C interface: its tests are a C program, compiled as C99.

# A handle of C and the object that it stands for are one memory of two types.
target_compile_options(ufence_c PRIVATE -fno-strict-aliasing)
math(EXPR version_number
  "(${PROJECT_VERSION_MAJOR} << 16) + (${PROJECT_VERSION_MINOR} << 8) + ${PROJECT_VERSION_PATCH}")
set_property(SOURCE "${CMAKE_CURRENT_LIST_DIR}/version.cc" APPEND PROPERTY COMPILE_DEFINITIONS
  UFENCE_VERSION_NUMBER=${version_number})

if(UFENCE_BUILD_TESTS)
  include(ufence_add_driver)
  ufence_add_driver(c_adder
    SOURCES "${CMAKE_CURRENT_LIST_DIR}/testing/adder.c"
    LIBRARIES ufence_flags
    OUTPUT_DIRECTORY "${UFENCE_TEST_MODULE_DIRECTORY}")
  ufence_add_test(c_interface_test FENCES
    SOURCES "${CMAKE_CURRENT_LIST_DIR}/testing/interface_test.cc"
      "${CMAKE_CURRENT_LIST_DIR}/testing/program.c"
    LINK ufence_c)
  set_target_properties(c_interface_test PROPERTIES C_STANDARD 99 C_EXTENSIONS OFF)
  target_compile_definitions(c_interface_test PRIVATE _POSIX_C_SOURCE=200809L
    UFENCE_TEST_MODULES="${UFENCE_TEST_MODULE_DIRECTORY}")
  add_dependencies(c_interface_test c_adder)
endif()

# Extras of the C interface: its tests are a C program, compiled as C99.

# A handle of C and the object that it stands for are one memory of two types.
target_compile_options(ufence_c PRIVATE -fno-strict-aliasing)
math(EXPR version_number
  "(${PROJECT_VERSION_MAJOR} << 16) + (${PROJECT_VERSION_MINOR} << 8) + ${PROJECT_VERSION_PATCH}")
set_property(SOURCE "${CMAKE_CURRENT_LIST_DIR}/version.cc" APPEND PROPERTY COMPILE_DEFINITIONS
  UFENCE_VERSION_NUMBER=${version_number})

# The interfaces in C as abidw can read them: the functions of this layer with debug information, and the
# types of drivers. Nobody links it.
find_program(UFENCE_ABIDW abidw)
mark_as_advanced(UFENCE_ABIDW)
if(UFENCE_BUILD_TESTS AND UFENCE_ABIDW AND NOT UFENCE_SANITIZE AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  add_library(ufence_c_described MODULE ${sources} "${PROJECT_SOURCE_DIR}/abi/description.c")
  target_link_libraries(ufence_c_described PRIVATE ufence_core_flags PkgConfig::liburcu_bp)
  target_compile_options(ufence_c_described PRIVATE -fno-strict-aliasing -g
    "-ffile-prefix-map=${PROJECT_SOURCE_DIR}/=")
  set_target_properties(ufence_c_described PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${CMAKE_ARCHIVE_OUTPUT_DIRECTORY}")
endif()

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

# Functions for the folders of this repository (not installed).
#
#   ufence_read_list(FILE OUT)
#       The lines of a file that are neither empty nor comments (#). A change configures again.
#   ufence_read_layers(FILE)
#       Reads scripts/layers.txt. Sets in the caller UFENCE_LAYERS (lowest first) and, for each
#       layer, UFENCE_USES_<layer> (direct), UFENCE_REACHES_<layer> (transitive, itself too) and
#       UFENCE_LIBRARY_<layer> (the library that its objects go into, or none). A layer lab/x is
#       called lab_x here and in the names of targets.
#   ufence_add_test(NAME SOURCES... [LINK LIB...] [LABEL unit|model|process|stress|...] [FENCES]
#                   [TIMEOUT SECONDS] [ENVIRONMENT VAR=VALUE...] [HEADERS TARGET])
#       A GoogleTest program with the leak-checking main of ufence/testing; each TEST is a ctest.
#       Its standard headers and GoogleTest's are precompiled once, by a program that is compiled as all tests
#       are, or by TARGET if this one is compiled in another way (ufence_add_headers()).
#       FENCES: the main also counts the fences alive (the program links fence or libufence).
#   ufence_add_command_test(NAME COMMAND ARG... [LABEL LABEL] [TIMEOUT SECONDS]
#                   [ENVIRONMENT VAR=VALUE...])
#       One ctest that runs a command and passes if it exits with 0.
#   ufence_test_label(OUT FILE)
#       The label that a test file's name asks for: x_stress_test.cc gives stress, ...

function(ufence_read_list file out)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${file}")
  file(STRINGS "${file}" lines REGEX "^[^#]")
  set(${out} ${lines} PARENT_SCOPE)
endfunction()

function(ufence_read_layers file)
  ufence_read_list("${file}" lines)
  set(layers "")
  foreach(line IN LISTS lines)
    string(REPLACE "/" "_" line "${line}")
    if(NOT line MATCHES "^([a-z_]+):(([ ]+[a-z_]+)*)[ ]+->[ ]+([a-z-]+)[ ]*$")
      message(FATAL_ERROR
        "${file}: cannot read \"${line}\": write `layer: layer layer -> library`")
    endif()
    set(layer ${CMAKE_MATCH_1})
    set(library ${CMAKE_MATCH_4})
    string(REGEX MATCHALL "[a-z_]+" uses "${CMAKE_MATCH_2}")
    set(reaches ${layer})
    foreach(used IN LISTS uses)
      if(NOT used IN_LIST layers)
        message(FATAL_ERROR "${file}: ${layer} uses ${used}, which no line above it declares")
      endif()
      list(APPEND reaches ${reaches_${used}})
    endforeach()
    list(REMOVE_DUPLICATES reaches)
    set(reaches_${layer} ${reaches})
    list(APPEND layers ${layer})
    set(UFENCE_USES_${layer} ${uses} PARENT_SCOPE)
    set(UFENCE_REACHES_${layer} ${reaches} PARENT_SCOPE)
    set(UFENCE_LIBRARY_${layer} ${library} PARENT_SCOPE)
  endforeach()
  set(UFENCE_LAYERS ${layers} PARENT_SCOPE)
endfunction()

# The sources of tests are compiled for a quick build; what they test is not.
set(UFENCE_TEST_OPTIMIZATION $<$<CXX_COMPILER_ID:GNU>:-Og>)

# A program that precompiles what nearly all tests include.
function(ufence_add_headers name)
  file(GENERATE OUTPUT "${CMAKE_CURRENT_BINARY_DIR}/${name}.cc" CONTENT "int main() {}\n")
  add_executable(${name} EXCLUDE_FROM_ALL "${CMAKE_CURRENT_BINARY_DIR}/${name}.cc")
  target_link_libraries(${name} PRIVATE ufence_flags GTest::gmock GTest::gtest Threads::Threads)
  set(headers "")
  foreach(header IN ITEMS gmock/gmock.h gtest/gtest.h algorithm array atomic chrono cstddef cstdint
      functional latch map memory mutex new optional span string string_view system_error thread
      utility vector)
    list(APPEND headers "$<$<COMPILE_LANGUAGE:CXX>:<${header}$<ANGLE-R>>")
  endforeach()
  target_compile_options(${name} PRIVATE ${UFENCE_TEST_OPTIMIZATION})
  target_precompile_headers(${name} PRIVATE ${headers})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(${name} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fpch-preprocess>)  # for ccache
  endif()
endfunction()

function(ufence_precompile_headers name headers)
  if(NOT UFENCE_PRECOMPILE)
    return()
  endif()
  if(NOT headers)
    set(headers ufence_testing_headers)
  endif()
  target_precompile_headers(${name} REUSE_FROM ${headers})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(${name} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fpch-preprocess>)
  endif()
endfunction()

function(ufence_test_label out file)
  set(label unit)
  if(file MATCHES "_(stress|model|process|fuzz)_test\\.cc$")
    set(label ${CMAKE_MATCH_1})
  endif()
  set(${out} ${label} PARENT_SCOPE)
endfunction()

function(ufence_add_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "FENCES" "LABEL;TIMEOUT;HEADERS" "SOURCES;LINK;ENVIRONMENT")
  if(arg_UNPARSED_ARGUMENTS)
    list(APPEND arg_SOURCES ${arg_UNPARSED_ARGUMENTS})
  endif()
  if(NOT UFENCE_BUILD_TESTS)
    return()
  endif()
  if(NOT arg_LABEL)
    list(GET arg_SOURCES 0 first)
    ufence_test_label(arg_LABEL "${first}")
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  if(arg_FENCES)
    set(main ufence_testing_fence_main)
  else()
    set(main ufence_testing_main)
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE
    ufence_flags ${main} ${arg_LINK} GTest::gmock GTest::gtest Threads::Threads)
  target_compile_options(${name} PRIVATE ${UFENCE_TEST_OPTIMIZATION})
  if(NOT "${arg_SOURCES}" MATCHES "\\.c(;|$)")
    ufence_precompile_headers(${name} "${arg_HEADERS}")
  endif()
  # Discovered when ctest starts: a build does not run what it has built.
  gtest_discover_tests(${name}
    DISCOVERY_MODE PRE_TEST
    DISCOVERY_TIMEOUT 60
    TEST_SUFFIX "${UFENCE_TEST_SUFFIX}"
    PROPERTIES
      LABELS ${arg_LABEL}
      TIMEOUT ${arg_TIMEOUT})
  # The environment is a list, which a property of gtest_discover_tests() cannot be.
  set(environment ${UFENCE_TEST_ENVIRONMENT} ${arg_ENVIRONMENT})
  if(environment)
    set(script "${CMAKE_CURRENT_BINARY_DIR}/${name}_environment.cmake")
    file(GENERATE OUTPUT "${script}" CONTENT
      "set_tests_properties(\${${name}_TESTS} PROPERTIES ENVIRONMENT [==[${environment}]==])\n")
    set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES "${script}")
  endif()
endfunction()

function(ufence_add_command_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "LABEL;TIMEOUT" "COMMAND;ENVIRONMENT")
  if(NOT UFENCE_BUILD_TESTS)
    return()
  endif()
  if(NOT arg_LABEL)
    set(arg_LABEL unit)
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  set(full_name "${name}${UFENCE_TEST_SUFFIX}")
  add_test(NAME "${full_name}" COMMAND ${arg_COMMAND})
  set_tests_properties("${full_name}" PROPERTIES
    LABELS "${arg_LABEL}"
    TIMEOUT ${arg_TIMEOUT}
    ENVIRONMENT "${UFENCE_TEST_ENVIRONMENT};${arg_ENVIRONMENT}")
endfunction()

if(UFENCE_BUILD_TESTS)
  include(GoogleTest)
endif()

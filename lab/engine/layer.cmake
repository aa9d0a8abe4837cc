# Programs of the lab: their sources find the doubles of base first. Sanitizers do not know the lab's
# stacks and its memory at fixed addresses; the explorer itself looks for what they would find.
#
#   ufence_add_lab_test(NAME SOURCES... [LINK LIB...] [TIMEOUT SECONDS])
#       A GoogleTest program, label model.

# A search takes millions of steps, whatever the build is for.
target_compile_options(ufence_lab_engine PRIVATE -O2)

set(UFENCE_LAB_DOUBLES "${CMAKE_CURRENT_SOURCE_DIR}/engine/doubles")

if(UFENCE_BUILD_TESTS AND NOT UFENCE_SANITIZE)
  ufence_add_headers(ufence_lab_headers)
  target_compile_options(ufence_lab_headers PRIVATE -O2)
endif()
function(ufence_add_lab_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT" "SOURCES;LINK")
  if(NOT UFENCE_BUILD_TESTS OR UFENCE_SANITIZE)
    return()
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  ufence_add_test(${name} LABEL model TIMEOUT ${arg_TIMEOUT}
    HEADERS ufence_lab_headers
    SOURCES ${arg_SOURCES} LINK ${arg_LINK} ufence_lab_engine)
  target_include_directories(${name} BEFORE PRIVATE "${UFENCE_LAB_DOUBLES}")
  # The same loops, and the same executions, whatever the build is for.
  target_compile_options(${name} PRIVATE -O2)
endfunction()

set(folder "${CMAKE_CURRENT_SOURCE_DIR}/engine/testing")
ufence_add_lab_test(lab_crosscheck_test
  SOURCES "${folder}/crosscheck_model_test.cc" "${folder}/axioms.cc")
ufence_add_lab_test(lab_loops_crosscheck_test
  SOURCES "${folder}/loops_crosscheck_model_test.cc" "${folder}/axioms.cc")
foreach(test litmus detection fence_protocol loops)
  ufence_add_lab_test(lab_${test}_test SOURCES "${folder}/${test}_model_test.cc")
endforeach()

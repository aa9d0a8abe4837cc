# How our own code is compiled. Two interface targets:
#   ufence_flags       warnings, as errors unless UFENCE_WERROR is off, visibility, UFENCE_DEBUG_CHECKS, include roots
#   ufence_core_flags  in addition, what only the sources of libufence get
# Neither is installed: users of the package keep their own flags.

set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
# Release is -O2 without NDEBUG: what is checked is said by UFENCE_CHECK and UFENCE_DEBUG_CHECKS.
set(CMAKE_CXX_FLAGS_RELEASE "-O2")
set(CMAKE_C_FLAGS_RELEASE "-O2")

find_program(UFENCE_CCACHE ccache)
mark_as_advanced(UFENCE_CCACHE)
if(UFENCE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # What it has to overlook where headers are precompiled.
  set(CMAKE_C_COMPILER_LAUNCHER env CCACHE_SLOPPINESS=pch_defines,time_macros "${UFENCE_CCACHE}")
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_C_COMPILER_LAUNCHER})
endif()

# For shared objects. Clang keeps a sanitizer's runtime in the program, so they can't be complete.
set(UFENCE_NO_UNDEFINED LINKER:-z,defs)
if(UFENCE_SANITIZE AND CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  set(UFENCE_NO_UNDEFINED "")
endif()

# Sanitizers apply to every target, drivers included.
set(UFENCE_TEST_ENVIRONMENT "")
set(UFENCE_TEST_SUFFIX "")
if(UFENCE_SANITIZE)
  add_compile_options(-fsanitize=${UFENCE_SANITIZE} -fno-sanitize-recover=all
    -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${UFENCE_SANITIZE})
  # The check of an object's type asks by a pipe whether its memory can be read, and takes a process that
  # is out of descriptors, as some tests are, for one whose objects are broken.
  if(UFENCE_SANITIZE MATCHES "undefined")
    add_compile_options(-fno-sanitize=vptr)
  endif()
  if(UFENCE_SANITIZE MATCHES "address")
    set(UFENCE_TEST_SUFFIX "@asan")
    set(UFENCE_TEST_ENVIRONMENT
      "ASAN_OPTIONS=detect_stack_use_after_return=1:strict_init_order=1:check_initialization_order=1"
      "UBSAN_OPTIONS=print_stacktrace=1")
  elseif(UFENCE_SANITIZE MATCHES "thread")
    set(UFENCE_TEST_SUFFIX "@tsan")
    set(UFENCE_TEST_ENVIRONMENT "TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:die_after_fork=0")
  endif()
endif()

add_library(ufence_flags INTERFACE)
target_include_directories(ufence_flags INTERFACE
  "${PROJECT_SOURCE_DIR}" "${PROJECT_SOURCE_DIR}/abi")
target_compile_definitions(ufence_flags INTERFACE
  UFENCE_DEBUG_CHECKS=$<BOOL:${UFENCE_DEBUG_CHECKS}>)
target_compile_options(ufence_flags INTERFACE
  $<$<BOOL:${UFENCE_WERROR}>:-Werror> -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wundef
  "-fmacro-prefix-map=${PROJECT_SOURCE_DIR}/="
  -Wcast-align -Wcast-qual -Wformat=2 -Wimplicit-fallthrough -Wvla
  $<$<COMPILE_LANGUAGE:CXX>:-Wold-style-cast -Wnon-virtual-dtor -Woverloaded-virtual -Wextra-semi>
  $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wduplicated-cond -Wlogical-op>
  $<$<COMPILE_LANG_AND_ID:CXX,Clang>:-Wthread-safety>)

add_library(ufence_core_flags INTERFACE)
target_link_libraries(ufence_core_flags INTERFACE ufence_flags)
# Nobody replaces single functions of libufence, so that its own calls may be direct, or inlined.
target_compile_options(ufence_core_flags INTERFACE
  -ftls-model=initial-exec -fno-semantic-interposition)

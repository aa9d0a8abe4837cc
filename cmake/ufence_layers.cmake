# ufence_add_layer(LAYER FOLDER): one static library ufence_<layer> and its tests of a folder that
# scripts/layers.txt names (not installed). A folder's owner adds files; nothing is edited here. In it:
#   x.cc               a source of ufence_<layer>
#   x_test.cc          the test program <layer>_x_test, label unit; also x_stress_test.cc,
#                      x_model_test.cc and x_process_test.cc with those labels
#   x_test_support.cc  linked into each of the layer's test programs
#   layer.cmake        optional, included after the targets: external libraries and other extras

# ufence_<layer>: with no source yet it is an interface library, with the same name.
function(_ufence_add_layer_library layer sources headers)
  set(library ufence_${layer})
  list(TRANSFORM UFENCE_USES_${layer} PREPEND ufence_ OUTPUT_VARIABLE uses)
  if(sources)
    add_library(${library} STATIC ${sources})
    target_link_libraries(${library} PRIVATE ufence_core_flags PUBLIC ${uses} Threads::Threads)
    set(scope PUBLIC)
  else()
    add_library(${library} INTERFACE)
    target_link_libraries(${library} INTERFACE ${uses} Threads::Threads)
    set(scope INTERFACE)
  endif()
  # The whole of what is compiled against a layer is ours: same flags, same checks.
  target_link_libraries(${library} INTERFACE ufence_flags)
  target_sources(${library} ${scope}
    FILE_SET layer_headers TYPE HEADERS BASE_DIRS "${PROJECT_SOURCE_DIR}" FILES ${headers})
endfunction()

# A program of all of the layer's objects: what they lack must be in layers that it may use.
function(_ufence_add_link_check layer)
  set(main "${CMAKE_CURRENT_BINARY_DIR}/link_check.c")
  file(CONFIGURE OUTPUT "${main}" CONTENT "int main(void) { return 0; }\n")
  add_executable(ufence_${layer}_link_check "${main}" $<TARGET_OBJECTS:ufence_${layer}>)
  target_link_libraries(ufence_${layer}_link_check PRIVATE ufence_${layer})
  set_target_properties(ufence_${layer}_link_check PROPERTIES
    LINKER_LANGUAGE CXX
    RUNTIME_OUTPUT_DIRECTORY "${CMAKE_ARCHIVE_OUTPUT_DIRECTORY}")
endfunction()

function(_ufence_add_layer_tests layer tests support)
  set(fences "")
  if(fence IN_LIST UFENCE_REACHES_${layer})
    set(fences FENCES)
  endif()
  set(link ufence_${layer})
  if(support)
    add_library(ufence_${layer}_test_support STATIC ${support})
    target_link_libraries(ufence_${layer}_test_support
      PUBLIC ufence_${layer} GTest::gmock GTest::gtest)
    list(PREPEND link ufence_${layer}_test_support)
  endif()
  foreach(test IN LISTS tests)
    get_filename_component(name "${test}" NAME_WE)
    ufence_add_test(${layer}_${name} SOURCES "${test}" LINK ${link} ${fences})
  endforeach()
endfunction()

# A macro: layer.cmake sets what is visible to those who add layers.
macro(ufence_add_layer layer folder)
  file(GLOB sources CONFIGURE_DEPENDS "${folder}/*.cc")
  file(GLOB headers CONFIGURE_DEPENDS "${folder}/*.h")
  set(tests ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  set(support ${sources})
  list(FILTER support INCLUDE REGEX "_test_support\\.cc$")
  list(FILTER sources EXCLUDE REGEX "_test(_support)?\\.cc$")

  _ufence_add_layer_library(${layer} "${sources}" "${headers}")
  if(UFENCE_BUILD_TESTS)
    _ufence_add_layer_tests(${layer} "${tests}" "${support}")
    if(sources)
      _ufence_add_link_check(${layer})
    endif()
  endif()
  file(GLOB extras CONFIGURE_DEPENDS "${folder}/layer.cmake")
  if(extras)
    include("${extras}")
  endif()
endmacro()

# ufence_add_allocation_failure_test(NAME LAYERS LAYER... SOURCES FILE... [LINK LIB...]): a test program over
# the sources of these layers and a double of ufence/base/alloc.h that lets the n-th allocation fail. The
# objects of a layer over that double are compiled once, for all such programs.
function(ufence_add_allocation_failure_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "LAYERS;SOURCES;LINK")
  set(doubles "${PROJECT_SOURCE_DIR}/ufence/fence/testing/doubles")
  set(objects "")
  foreach(layer IN LISTS arg_LAYERS)
    set(library ufence_${layer}_failing)
    if(NOT TARGET ${library})
      file(GLOB sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/ufence/${layer}/*.cc")
      list(FILTER sources EXCLUDE REGEX "_test(_support)?\\.cc$")
      add_library(${library} OBJECT EXCLUDE_FROM_ALL ${sources})
      target_link_libraries(${library} PRIVATE ufence_core_flags PkgConfig::liburcu_bp)
      target_include_directories(${library} BEFORE PRIVATE "${doubles}")
    endif()
    list(APPEND objects $<TARGET_OBJECTS:${library}>)
  endforeach()
  ufence_add_test(${name} FENCES SOURCES ${arg_SOURCES} ${objects}
    LINK ufence_core_flags PkgConfig::liburcu_bp ${arg_LINK})
  target_include_directories(${name} BEFORE PRIVATE "${doubles}")
endfunction()

# ufence_add_driver(NAME SOURCES FILE... [LIBRARIES LIBRARY...] [OUTPUT_DIRECTORY DIR] [INSTALL]
#                   [NO_CHECK] [NO_PROTECTION])
#   Builds the driver module NAME.so, a target NAME, as the contract of ufence/driver.h wants it:
#   it can be unmapped (no GNU-unique symbols, not nodelete), exports its entry symbol and nothing
#   else, and imports nothing that no library provides. The object is checked after linking, as the
#   host will check it before loading: a driver that would be refused does not build.
#   OUTPUT_DIRECTORY  default: lib/ufence/drivers of the build tree, where hosts look
#   INSTALL           also installs it to where the installed programs look
#   NO_CHECK          for negative tests: leaves out the check
#   NO_PROTECTION     for negative tests: leaves out the flags that keep it unmappable
# Part of the package: find_package(ufence) provides it for drivers of others.

function(ufence_add_driver name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "INSTALL;NO_CHECK;NO_PROTECTION" "OUTPUT_DIRECTORY"
    "SOURCES;LIBRARIES")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "ufence_add_driver(${name}): what is ${arg_UNPARSED_ARGUMENTS}?")
  endif()
  if(NOT arg_SOURCES)
    message(FATAL_ERROR "ufence_add_driver(${name}): no SOURCES")
  endif()
  if(NOT arg_OUTPUT_DIRECTORY)
    set(arg_OUTPUT_DIRECTORY "${UFENCE_DRIVER_OUTPUT_DIRECTORY}")
  endif()
  if(NOT arg_OUTPUT_DIRECTORY)
    set(arg_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/lib/ufence/drivers")
  endif()

  add_library(${name} MODULE ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ufence::abi ${arg_LIBRARIES})
  get_property(languages GLOBAL PROPERTY ENABLED_LANGUAGES)
  if("CXX" IN_LIST languages)
    target_compile_features(${name} PRIVATE cxx_std_20)  # ufence/driver.hpp
  endif()
  set_target_properties(${name} PROPERTIES
    PREFIX ""
    SUFFIX ".so"
    LIBRARY_OUTPUT_DIRECTORY "${arg_OUTPUT_DIRECTORY}"
    POSITION_INDEPENDENT_CODE ON
    C_VISIBILITY_PRESET hidden
    CXX_VISIBILITY_PRESET hidden
    VISIBILITY_INLINES_HIDDEN ON)
  # A shared sanitizer runtime is a library like others; Clang's is in the program, not in a library.
  get_directory_property(directory_options COMPILE_OPTIONS)
  if(NOT "${CMAKE_C_FLAGS} ${CMAKE_CXX_FLAGS} ${directory_options}" MATCHES "-fsanitize="
      OR CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_link_options(${name} PRIVATE LINKER:-z,defs)
  endif()
  if(NOT arg_NO_PROTECTION)
    set(map "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/ufence_add_driver.map")
    target_compile_options(${name} PRIVATE $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-fno-gnu-unique>)
    target_link_options(${name} PRIVATE LINKER:--version-script=${map} LINKER:-z,relro)
    set_property(TARGET ${name} APPEND PROPERTY LINK_DEPENDS "${map}")
  endif()

  if(NOT arg_NO_CHECK AND (NOT CMAKE_CROSSCOMPILING OR CMAKE_CROSSCOMPILING_EMULATOR))
    add_custom_command(TARGET ${name} POST_BUILD
      COMMAND ufence::check_driver "$<TARGET_FILE:${name}>"
      VERBATIM)
    # A package's program is there already.
    if(TARGET ufence-check-driver)
      add_dependencies(${name} ufence-check-driver)
    endif()
  endif()
  if(arg_INSTALL)
    if(NOT UFENCE_DRIVER_INSTALL_DIRECTORY)
      set(UFENCE_DRIVER_INSTALL_DIRECTORY "lib/ufence/drivers")
    endif()
    install(TARGETS ${name} LIBRARY DESTINATION "${UFENCE_DRIVER_INSTALL_DIRECTORY}")
  endif()
endfunction()

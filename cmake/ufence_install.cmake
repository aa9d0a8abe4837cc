# Installing, and what finds the installed package: find_package(ufence), pkg-config.
#
#   bin/ufence, lib/libufence.so, lib/ufence/drivers/*.so, include/ufence/...
#
# The package has ufence::ufence (the library), ufence::c (the library, for programs in C), ufence::kernel (the library, with the kernel's include
# lines), ufence::abi (the driver headers alone), where it was built ufence::net (libufence-net), and ufence_add_driver(), which uses ufence::check_driver. Drivers and the command are installed where
# they are built.

include(CMakePackageConfigHelpers)

set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/ufence")

ufence_read_list("${PROJECT_SOURCE_DIR}/scripts/public_headers.txt" public_headers)
if(NOT TARGET ufence_net_library)
  list(FILTER public_headers EXCLUDE REGEX "^ufence/net/")
endif()
foreach(header IN LISTS public_headers)
  cmake_path(GET header PARENT_PATH folder)
  install(FILES "${PROJECT_SOURCE_DIR}/${header}"
    DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/${folder}")
endforeach()

add_library(ufence_kernel_interface INTERFACE)
add_library(ufence::kernel ALIAS ufence_kernel_interface)
set_target_properties(ufence_kernel_interface PROPERTIES EXPORT_NAME kernel)
target_link_libraries(ufence_kernel_interface INTERFACE ufence)
target_include_directories(ufence_kernel_interface INTERFACE
  "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/ufence/kernel>"
  "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/ufence/kernel>")

install(TARGETS ufence ufence_abi ufence_kernel_interface EXPORT ufence_targets
  LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}"
  FILE_SET HEADERS DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(EXPORT ufence_targets NAMESPACE ufence:: FILE ufenceTargets.cmake
  DESTINATION "${package_dir}")

if(TARGET ufence_net_library)
  install(TARGETS ufence_net_library EXPORT ufence_net_targets
    LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}")
  install(EXPORT ufence_net_targets NAMESPACE ufence:: FILE ufenceNetTargets.cmake
    DESTINATION "${package_dir}")
endif()

configure_package_config_file("${CMAKE_CURRENT_LIST_DIR}/ufenceConfig.cmake.in"
  "${PROJECT_BINARY_DIR}/package/ufenceConfig.cmake" INSTALL_DESTINATION "${package_dir}"
  NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/package/ufenceConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES
  "${PROJECT_BINARY_DIR}/package/ufenceConfig.cmake"
  "${PROJECT_BINARY_DIR}/package/ufenceConfigVersion.cmake"
  "${CMAKE_CURRENT_LIST_DIR}/ufence_add_driver.cmake"
  "${CMAKE_CURRENT_LIST_DIR}/ufence_add_driver.map"
  DESTINATION "${package_dir}")

# For gdb, which loads it with the library.
install(FILES "${PROJECT_SOURCE_DIR}/scripts/gdb/libufence-gdb.py"
  DESTINATION "${CMAKE_INSTALL_DATADIR}/gdb/auto-load${CMAKE_INSTALL_FULL_LIBDIR}"
  RENAME "libufence.so.${PROJECT_VERSION}-gdb.py")

# For Python: where Debian's looks.
set(UFENCE_PYTHON_INSTALL_DIRECTORY "lib/python3/dist-packages" CACHE STRING
  "Where the Python package is installed, below the prefix")
install(FILES "${PROJECT_SOURCE_DIR}/python/ufence/__init__.py"
  "${PROJECT_SOURCE_DIR}/python/ufence/_c.py" "${PROJECT_SOURCE_DIR}/python/ufence/py.typed"
  DESTINATION "${UFENCE_PYTHON_INSTALL_DIRECTORY}/ufence")

file(RELATIVE_PATH prefix_from_pkgconfig "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
if(UFENCE_DEBUG_CHECKS)
  set(debug_checks_value 1)
else()
  set(debug_checks_value 0)
endif()
set(modules ufence ufence-kernel)
if(TARGET ufence_net_library)
  list(APPEND modules ufence-net)
endif()
foreach(module IN LISTS modules)
  configure_file("${CMAKE_CURRENT_LIST_DIR}/${module}.pc.in"
    "${PROJECT_BINARY_DIR}/package/${module}.pc" @ONLY)
  install(FILES "${PROJECT_BINARY_DIR}/package/${module}.pc"
    DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
endforeach()

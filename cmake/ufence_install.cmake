# Installing, and what finds the installed package: find_package(ufence), pkg-config.
#
#   bin/ufence, lib/libufence.so, lib/ufence/drivers/*.so, include/ufence/...
#
# The package has ufence::ufence (the library), ufence::abi (the driver headers alone), and
# ufence_add_driver(), which uses ufence::check_driver. Drivers and the command are installed where
# they are built.

include(CMakePackageConfigHelpers)

set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/ufence")

ufence_read_list("${PROJECT_SOURCE_DIR}/scripts/public_headers.txt" public_headers)
foreach(header IN LISTS public_headers)
  cmake_path(GET header PARENT_PATH folder)
  install(FILES "${PROJECT_SOURCE_DIR}/${header}"
    DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/${folder}")
endforeach()

install(TARGETS ufence ufence_abi EXPORT ufence_targets
  LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}"
  FILE_SET HEADERS DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(EXPORT ufence_targets NAMESPACE ufence:: FILE ufenceTargets.cmake
  DESTINATION "${package_dir}")

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

file(RELATIVE_PATH prefix_from_pkgconfig "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
if(UFENCE_DEBUG_CHECKS)
  set(debug_checks_value 1)
else()
  set(debug_checks_value 0)
endif()
configure_file("${CMAKE_CURRENT_LIST_DIR}/ufence.pc.in" "${PROJECT_BINARY_DIR}/package/ufence.pc"
  @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/package/ufence.pc"
  DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")

# Man pages and completions, from what the built command says of itself and from the headers' comments:
# share/ of the build tree has what is installed. They need Python, and a command that runs here; builds with
# sanitizers are not installed, and have no lab that could describe itself.
find_package(Python3 COMPONENTS Interpreter)
if(NOT Python3_FOUND OR NOT TARGET ufence_tool OR CMAKE_CROSSCOMPILING OR UFENCE_SANITIZE)
  return()
endif()

set(pages "${PROJECT_BINARY_DIR}/share")
set(description "${PROJECT_BINARY_DIR}/package/describe.json")
file(GLOB page_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/scripts/ufence_pages/*.py")
set(lab_programs "")
foreach(program ufence_net_program ufence_lab_program ufence_lab_check_program ufence_lab_source_program)
  if(TARGET ${program})
    list(APPEND lab_programs ${program})
  endif()
endforeach()
list(TRANSFORM public_headers PREPEND "${PROJECT_SOURCE_DIR}/" OUTPUT_VARIABLE page_headers)
# A package's build has programs without a path to the library.
add_custom_command(OUTPUT "${description}"
  COMMAND "${CMAKE_COMMAND}" -E env "LD_LIBRARY_PATH=$<TARGET_FILE_DIR:ufence>"
    "$<TARGET_FILE:ufence_tool>" describe > "${description}"
  DEPENDS ufence_tool ${lab_programs}
  VERBATIM)
add_custom_command(OUTPUT "${pages}/man/man1/ufence.1"
  COMMAND "${CMAKE_COMMAND}" -E rm -rf "${pages}"
  COMMAND Python3::Interpreter "${PROJECT_SOURCE_DIR}/scripts/man_pages" "${description}"
    "${PROJECT_VERSION}" "${pages}/man"
  COMMAND Python3::Interpreter "${PROJECT_SOURCE_DIR}/scripts/completions" "${description}" "${pages}"
  DEPENDS "${description}" ${page_sources} ${page_headers}
    "${PROJECT_SOURCE_DIR}/scripts/man_pages" "${PROJECT_SOURCE_DIR}/scripts/completions"
    "${PROJECT_SOURCE_DIR}/README.md" "${PROJECT_SOURCE_DIR}/abi/ufence/ufence.h"
    "${PROJECT_SOURCE_DIR}/abi/ufence/driver.h" "${PROJECT_SOURCE_DIR}/abi/ufence/driver.hpp"
  VERBATIM)
add_custom_target(ufence_pages ALL DEPENDS "${pages}/man/man1/ufence.1")
install(DIRECTORY "${pages}/" DESTINATION "${CMAKE_INSTALL_DATADIR}" OPTIONAL)

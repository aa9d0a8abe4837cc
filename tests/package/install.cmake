# Installs BUILD into an empty PREFIX and looks for what must be there.
file(REMOVE_RECURSE "${PREFIX}")
execute_process(COMMAND "${CMAKE_COMMAND}" --install "${BUILD}" --prefix "${PREFIX}"
  OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
foreach(path
    bin/ufence include/ufence/driver.h include/ufence/driver.hpp include/ufence/fence/fence.h
    lib/ufence/drivers/cpu.so lib/ufence/drivers/uring.so)
  if(NOT EXISTS "${PREFIX}/${path}")
    message(FATAL_ERROR "not installed: ${path}")
  endif()
endforeach()
file(GLOB drivers RELATIVE "${PREFIX}" "${PREFIX}/lib/ufence/drivers/*")
foreach(driver IN LISTS drivers)
  if(NOT driver MATCHES "/(cpu|uring|sim|legacy|watch)\\.so$")
    message(FATAL_ERROR "installed, but for tests only: ${driver}")
  endif()
endforeach()

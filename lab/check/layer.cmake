# ufence-lab-check: explores a program that it builds and loads, which calls the runtime.
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
set(folder "${CMAKE_CURRENT_SOURCE_DIR}/check")
file(GLOB check_sources CONFIGURE_DEPENDS "${folder}/program/*.cc" "${folder}/runtime/*.cc")
list(FILTER check_sources EXCLUDE REGEX "/main\\.cc$")
# Objects: the explored program takes from a program of the lab what nothing else there does.
add_library(ufence_lab_check_parts OBJECT EXCLUDE_FROM_ALL ${check_sources})
target_include_directories(ufence_lab_check_parts BEFORE PUBLIC "${UFENCE_LAB_DOUBLES}")
target_compile_options(ufence_lab_check_parts PRIVATE -O2)
target_link_libraries(ufence_lab_check_parts PUBLIC
  ufence_lab_engine ufence_flags fmt::fmt ${CMAKE_DL_LIBS})
add_executable(ufence_lab_check_program "${folder}/program/main.cc")
set_target_properties(ufence_lab_check_program PROPERTIES
  OUTPUT_NAME ufence-lab-check
  ENABLE_EXPORTS ON)
target_link_libraries(ufence_lab_check_program PRIVATE
  ufence_lab_check_parts ufence_command_line nlohmann_json::nlohmann_json)
install(TARGETS ufence_lab_check_program RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")

# The program from outside, with each compiler that is there.
find_package(Python3 COMPONENTS Interpreter)
if(Python3_FOUND)
  foreach(compiler g++ clang++-19)
    find_program(UFENCE_LAB_COMPILER_${compiler} ${compiler})
    if(NOT UFENCE_LAB_COMPILER_${compiler})
      continue()
    endif()
    foreach(part Litmus Faults Known Unknown Examples)
      string(TOLOWER ${part} subject)
      ufence_add_command_test(lab_check.${subject}_${compiler} LABEL process TIMEOUT 600
        COMMAND "${Python3_EXECUTABLE}" -B "${folder}/testing/check_test.py" ${part}
        ENVIRONMENT "UFENCE_LAB_CHECK=$<TARGET_FILE:ufence_lab_check_program>"
          "UFENCE_SOURCE=${PROJECT_SOURCE_DIR}" "UFENCE_COMPILER=${compiler}")
    endforeach()
  endforeach()
endif()

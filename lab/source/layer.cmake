# ufence-lab-source: compiles fences of a kernel tree with the C sources of service/, which it has within
# it, and explores them in the hazards of lab/designs.
set(folder "${CMAKE_CURRENT_SOURCE_DIR}/source")
set(service_files service.h glue.h glue.c)
foreach(file IN LISTS service_files)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${folder}/service/${file}")
  file(READ "${folder}/service/${file}" text)
  string(MAKE_C_IDENTIFIER "text_${file}" name)
  set(${name} "${text}")
endforeach()
set(texts_file "${CMAKE_CURRENT_BINARY_DIR}/service_texts.cc")
file(CONFIGURE OUTPUT "${texts_file}" @ONLY CONTENT
"#include \"lab/source/program/service_texts.h\"

namespace ufence::lab::kernel_source {

const std::string_view service_text = R\"service(@text_service_h@)service\";
const std::string_view glue_header_text = R\"service(@text_glue_h@)service\";
const std::string_view glue_text = R\"service(@text_glue_c@)service\";

}  // namespace ufence::lab::kernel_source
")

file(GLOB source_parts CONFIGURE_DEPENDS "${folder}/adapter/*.cc" "${folder}/program/*.cc")
add_executable(ufence_lab_source_program ${source_parts} "${texts_file}")
set_target_properties(ufence_lab_source_program PROPERTIES
  OUTPUT_NAME ufence-lab-source
  ENABLE_EXPORTS ON)
target_compile_options(ufence_lab_source_program PRIVATE -O2)
target_link_libraries(ufence_lab_source_program PRIVATE
  ufence_lab_check_parts ufence_lab_tables ufence_command_line)
install(TARGETS ufence_lab_source_program RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")

# The program over trees of the kernel; skipped where there are none.
find_package(Python3 COMPONENTS Interpreter)
if(Python3_FOUND)
  ufence_add_command_test(lab_source.trees LABEL kernel-source TIMEOUT 900
    COMMAND "${Python3_EXECUTABLE}" -B "${folder}/testing/trees_test.py"
    ENVIRONMENT "UFENCE_LAB_SOURCE=$<TARGET_FILE:ufence_lab_source_program>")
  ufence_add_command_test(lab_source.program LABEL process TIMEOUT 300
    COMMAND "${Python3_EXECUTABLE}" -B "${folder}/testing/program_test.py"
    ENVIRONMENT "UFENCE_LAB_SOURCE=$<TARGET_FILE:ufence_lab_source_program>")
  if(UFENCE_BUILD_TESTS)
    set_tests_properties("lab_source.trees${UFENCE_TEST_SUFFIX}" PROPERTIES SKIP_RETURN_CODE 77)
  endif()
endif()

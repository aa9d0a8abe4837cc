# ufence_lab_compare: the designs, the hazards, and running one for the other. A design is a file
# designs/<name>.cc that defines `extern const design design_<name>`; the list is made from the folder.
# ufence-lab, the program, and its tests. Nothing of it is linked with libufence.

set(folder "${CMAKE_CURRENT_SOURCE_DIR}/designs")
file(GLOB design_files CONFIGURE_DEPENDS "${folder}/designs/*.cc")
set(declarations "")
set(names "")
foreach(file IN LISTS design_files)
  get_filename_component(name "${file}" NAME_WE)
  string(APPEND declarations "extern const design design_${name};\n")
  string(APPEND names "    &design_${name},\n")
endforeach()
set(design_list "${CMAKE_CURRENT_BINARY_DIR}/design_list.cc")
file(CONFIGURE OUTPUT "${design_list}" @ONLY CONTENT
"#include <algorithm>

#include \"lab/designs/model/design.h\"

namespace ufence::lab {

@declarations@
const std::vector<const design*>& all_designs() {
  static const std::vector<const design*> all = [] {
    std::vector<const design*> found{
@names@    };
    std::ranges::sort(found, {}, &design::column);
    return found;
  }();
  return all;
}

}  // namespace ufence::lab
")

file(GLOB compare_sources CONFIGURE_DEPENDS "${folder}/model/*.cc" "${folder}/hazards/*.cc")
add_library(ufence_lab_compare STATIC
  ${compare_sources} ${design_files} "${design_list}")
target_include_directories(ufence_lab_compare BEFORE PUBLIC "${UFENCE_LAB_DOUBLES}")
target_link_libraries(ufence_lab_compare PUBLIC ufence_lab_product ufence_lab_engine ufence_flags)
# A search runs these millions of times, whatever the build is for.
target_compile_options(ufence_lab_compare PRIVATE -O2)

find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
file(GLOB program_parts CONFIGURE_DEPENDS "${folder}/program/*.cc")
list(FILTER program_parts EXCLUDE REGEX "/main\\.cc$")
add_library(ufence_lab_tables STATIC EXCLUDE_FROM_ALL ${program_parts})
target_link_libraries(ufence_lab_tables PUBLIC
  ufence_lab_compare ufence_command_line fmt::fmt nlohmann_json::nlohmann_json)
add_executable(ufence_lab_program "${folder}/program/main.cc")
set_target_properties(ufence_lab_program PROPERTIES OUTPUT_NAME ufence-lab)
target_link_libraries(ufence_lab_program PRIVATE ufence_lab_tables)
install(TARGETS ufence_lab_program RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")

ufence_add_lab_test(lab_designs_verdicts_model_test
  SOURCES "${folder}/testing/verdicts_model_test.cc" LINK ufence_lab_compare)
ufence_add_lab_test(lab_designs_program_model_test
  SOURCES "${folder}/testing/program_model_test.cc" LINK ufence_lab_tables)

# The program from outside, in a browser too; and whether docs/VERDICTS.md is what it says.
find_package(Python3 COMPONENTS Interpreter)
if(Python3_FOUND)
  ufence_add_command_test(lab_designs.program LABEL process TIMEOUT 600
    COMMAND "${Python3_EXECUTABLE}" -B "${folder}/testing/program_test.py"
    ENVIRONMENT "UFENCE_LAB=$<TARGET_FILE:ufence_lab_program>")
  ufence_add_command_test(lab_designs.verdicts_document LABEL process TIMEOUT 300
    COMMAND "${Python3_EXECUTABLE}" -B "${PROJECT_SOURCE_DIR}/scripts/verdicts" --check
      --program "$<TARGET_FILE:ufence_lab_program>" R1 R2 R3 R6 R11 Q3 Q6 Q10 Q18 Q22)
endif()

# The design that docs/VERDICTS.md shows must be one.
if(UFENCE_BUILD_TESTS AND Python3_FOUND)
  set(document "${PROJECT_SOURCE_DIR}/docs/VERDICTS.md")
  set(block_script "${PROJECT_SOURCE_DIR}/tests/docs/readme_block.py")
  set(documented_design "${CMAKE_CURRENT_BINARY_DIR}/documented_design.cc")
  add_custom_command(OUTPUT "${documented_design}"
    COMMAND Python3::Interpreter "${block_script}" "${document}" cpp 1 "${documented_design}"
    DEPENDS "${document}" "${block_script}"
    VERBATIM)
  add_library(ufence_lab_documented_design OBJECT "${documented_design}")
  target_link_libraries(ufence_lab_documented_design PRIVATE ufence_lab_compare)
endif()

# The kernel's include lines, <linux/...>, for this layer's sources and for what is built on it; and the
# tests that are written in C, over a shim of the kernel's other services.

target_include_directories(ufence_kernel PUBLIC "${CMAKE_CURRENT_LIST_DIR}")
# A struct dma_fence and the fence in it are one memory of two types.
target_compile_options(ufence_kernel PRIVATE -fno-strict-aliasing)

if(UFENCE_BUILD_TESTS)
  set(testing "${CMAKE_CURRENT_LIST_DIR}/testing")
  add_library(ufence_kernel_testing INTERFACE)
  target_include_directories(ufence_kernel_testing BEFORE INTERFACE "${testing}/shim")
  target_link_libraries(ufence_kernel_testing INTERFACE ufence_kernel)

  set(suites "${testing}/shim/services.c" "${testing}/st_dma_fence.c"
    "${testing}/st_dma_fence_chain.c" "${testing}/st_dma_fence_unwrap.c" "${testing}/behaviour.c"
    "${testing}/resv.c" "${testing}/enable.c"
    "${testing}/nested.c" "${testing}/names.c" "${testing}/st_dma_resv.c" "${testing}/st_sync_file.c"
    "${testing}/headers.c" "${testing}/brings.c" "${testing}/tasks.c" "${testing}/mock_scheduler.c" "${testing}/st_gpu_scheduler.c"
    "${testing}/gpu_scheduler.c" "${testing}/st_drm_exec.c" "${testing}/drm_exec.c")
  # The kernel's dialect: GNU C, as the kernel's own sources are written.
  set(other_suites "${testing}/other_shim.c" "${testing}/other_spinlock.c")
  set_source_files_properties(${suites} ${other_suites} PROPERTIES COMPILE_OPTIONS -Wno-pedantic)
  # With another spinlock.h.
  add_library(ufence_kernel_other_shim OBJECT ${other_suites})
  target_include_directories(ufence_kernel_other_shim BEFORE PRIVATE "${testing}/other_shim")
  target_link_libraries(ufence_kernel_other_shim PRIVATE ufence_kernel_testing)
  # With all small headers replaced, and with each of them alone.
  add_library(ufence_kernel_replaced OBJECT "${testing}/replaced.c")
  set(of_others -Wno-pedantic -Wno-cast-qual)
  set_source_files_properties("${testing}/replaced.c" PROPERTIES COMPILE_OPTIONS "${of_others}")
  target_include_directories(ufence_kernel_replaced BEFORE PRIVATE "${testing}/replaced")
  target_link_libraries(ufence_kernel_replaced PRIVATE ufence_kernel_testing)
  file(GLOB replaced CONFIGURE_DEPENDS RELATIVE "${testing}/replaced/linux"
    "${testing}/replaced/linux/*.h")
  set(one_replaced "")
  foreach(header IN LISTS replaced)
    set(folder "${CMAKE_CURRENT_BINARY_DIR}/kernel_replaced/${header}")
    configure_file("${testing}/replaced/linux/${header}" "${folder}/linux/${header}" COPYONLY)
    file(CONFIGURE OUTPUT "${folder}/alone.c" CONTENT "#include <drm/drm_exec.h>
#include <linux/dma-fence-array.h>
#include <linux/dma-fence-chain.h>
#include <linux/dma-fence-unwrap.h>
#include <linux/dma-resv.h>
extern int not_empty;
")
    set_source_files_properties("${folder}/alone.c" PROPERTIES COMPILE_OPTIONS "${of_others}"
      INCLUDE_DIRECTORIES "${folder}")
    list(APPEND one_replaced "${folder}/alone.c")
  endforeach()
  add_library(ufence_kernel_one_replaced OBJECT ${one_replaced})
  target_link_libraries(ufence_kernel_one_replaced PRIVATE ufence_kernel)
  ufence_add_test(kernel_kunit_test FENCES
    SOURCES "${testing}/kunit_test.cc" ${suites} $<TARGET_OBJECTS:ufence_kernel_other_shim>
      $<TARGET_OBJECTS:ufence_kernel_replaced>
    LINK ufence_kernel_testing)

  ufence_add_allocation_failure_test(kernel_allocation_failure_test
    LAYERS base rcu trace io fence foreign container syncobj sched sync kernel
    SOURCES "${testing}/allocation_failure_test.cc")
  foreach(target IN ITEMS kernel_allocation_failure_test ufence_kernel_failing)
    target_include_directories(${target} PRIVATE "${CMAKE_CURRENT_LIST_DIR}")
  endforeach()
  target_compile_options(ufence_kernel_failing PRIVATE -fno-strict-aliasing)
endif()

# Each header compiles alone, as C11 and as C++.
if(UFENCE_BUILD_TESTS)
  file(GLOB c_headers CONFIGURE_DEPENDS RELATIVE "${CMAKE_CURRENT_LIST_DIR}"
    "${CMAKE_CURRENT_LIST_DIR}/linux/*.h" "${CMAKE_CURRENT_LIST_DIR}/drm/*.h"
    "${CMAKE_CURRENT_LIST_DIR}/trace/events/*.h")
  set(alone "")
  foreach(header IN LISTS c_headers)
    foreach(language c cc)
      set(file "${CMAKE_CURRENT_BINARY_DIR}/kernel_headers/${header}.${language}")
      file(CONFIGURE OUTPUT "${file}" CONTENT "#include <${header}>\nextern int not_empty;\n")
      list(APPEND alone "${file}")
    endforeach()
  endforeach()
  add_library(ufence_kernel_headers OBJECT ${alone})
  target_link_libraries(ufence_kernel_headers PRIVATE ufence_kernel)
  set_target_properties(ufence_kernel_headers PROPERTIES C_EXTENSIONS OFF)
endif()

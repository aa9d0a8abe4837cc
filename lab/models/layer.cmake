# ufence_lab_product: the sources of the product, unchanged, over the doubles of base, of the module loader
# and of liburcu. For programs of the lab, in place of the layers' libraries; never both in one program.

set(UFENCE_LAB_PRODUCT_DOUBLES "${CMAKE_CURRENT_SOURCE_DIR}/models/doubles")
set(product_sources "")
foreach(part rcu fence foreign container syncobj sched issuer)
  file(GLOB part_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/ufence/${part}/*.cc")
  # What these have stands in doubles.
  list(FILTER part_sources EXCLUDE REGEX "(_test(_support)?|/rcu/readers|/fence/live)\\.cc$")
  list(APPEND product_sources ${part_sources})
endforeach()
foreach(source exported answer label process_secret shared_timeline shared_timeline_thread sw_sync wire)
  list(APPEND product_sources "${PROJECT_SOURCE_DIR}/ufence/sync/${source}.cc")
endforeach()
list(APPEND product_sources "${PROJECT_SOURCE_DIR}/ufence/io/cipher.cc")
foreach(source awaited_points importer)
  list(APPEND product_sources "${PROJECT_SOURCE_DIR}/ufence/net/${source}.cc")
endforeach()
# What they ask of the system.
list(APPEND product_sources "${UFENCE_LAB_PRODUCT_DOUBLES}/system.cc")
add_library(ufence_lab_product STATIC EXCLUDE_FROM_ALL ${product_sources})
target_include_directories(ufence_lab_product
  BEFORE PUBLIC "${UFENCE_LAB_DOUBLES}" "${UFENCE_LAB_PRODUCT_DOUBLES}")
target_link_libraries(ufence_lab_product PRIVATE ufence_core_flags PUBLIC ufence_lab_engine ufence_flags)
# A search runs these millions of times, whatever the build is for.
target_compile_options(ufence_lab_product PRIVATE -O2)

# The kernel's interface over it; a double of its linux/ufence.h leads C's atomics to the explorer.
set(kernel_sources "")
foreach(source dma_fence dma_fence_array dma_fence_chain dma_resv interop kernel_fence services
    ww_mutex_interface)
  list(APPEND kernel_sources "${PROJECT_SOURCE_DIR}/ufence/kernel/${source}.cc")
endforeach()
add_library(ufence_lab_kernel STATIC EXCLUDE_FROM_ALL ${kernel_sources})
target_include_directories(ufence_lab_kernel
  BEFORE PUBLIC "${UFENCE_LAB_DOUBLES}" "${UFENCE_LAB_PRODUCT_DOUBLES}"
    "${PROJECT_SOURCE_DIR}/ufence/kernel")
target_link_libraries(ufence_lab_kernel PRIVATE ufence_core_flags PUBLIC ufence_lab_product)
target_compile_options(ufence_lab_kernel PRIVATE -O2 -fno-strict-aliasing)

# One program for each file of model tests.
if(UFENCE_BUILD_TESTS)
  set(folder "${CMAKE_CURRENT_SOURCE_DIR}/models/testing")
  add_library(ufence_lab_models_harness STATIC EXCLUDE_FROM_ALL "${folder}/harness.cc")
  target_link_libraries(ufence_lab_models_harness
    PUBLIC ufence_lab_product GTest::gmock GTest::gtest)
  file(GLOB model_tests CONFIGURE_DEPENDS "${folder}/*_model_test.cc")
  foreach(test IN LISTS model_tests)
    get_filename_component(name "${test}" NAME_WE)
    ufence_add_lab_test(lab_models_${name} SOURCES "${test}" LINK ufence_lab_models_harness)
    if(TARGET lab_models_${name})
      target_include_directories(lab_models_${name}
        BEFORE PRIVATE "${UFENCE_LAB_PRODUCT_DOUBLES}")
    endif()
  endforeach()
  if(TARGET lab_models_kernel_model_test)
    target_link_libraries(lab_models_kernel_model_test PRIVATE ufence_lab_kernel)
  endif()
  # The lab has a mutex of its own.
  if(TARGET lab_models_lock_model_test)
    target_sources(lab_models_lock_model_test
      PRIVATE "${PROJECT_SOURCE_DIR}/ufence/base/lock_word.cc")
  endif()
endif()

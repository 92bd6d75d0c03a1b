# SPDX-License-Identifier: Apache-2.0
# ivpci.ko through kbuild, out of tree. kbuild writes beside the sources it compiles, so it is given
# copies in the build directory: the source tree stays clean and two presets do not meet.
function(smc_steer_add_kmod)
  set(source_dir ${PROJECT_SOURCE_DIR}/kmod)
  set(work_dir ${PROJECT_BINARY_DIR}/kmod)
  if(NOT SMC_STEER_KERNEL_BUILD)
    message(STATUS "kmod: skipped, SMC_STEER_KERNEL_BUILD is not set")
    return()
  endif()
  if(NOT EXISTS ${source_dir}/Kbuild)
    return()
  endif()
  if(NOT EXISTS ${SMC_STEER_KERNEL_BUILD}/Module.symvers)
    message(FATAL_ERROR "SMC_STEER_KERNEL_BUILD=${SMC_STEER_KERNEL_BUILD}: no Module.symvers there, "
                        "name the build directory of a finished kernel build")
  endif()

  file(GLOB_RECURSE sources CONFIGURE_DEPENDS RELATIVE ${source_dir} ${source_dir}/*)
  set(copies)
  foreach(file ${sources})
    add_custom_command(
        OUTPUT ${work_dir}/${file}
        COMMAND ${CMAKE_COMMAND} -E copy ${source_dir}/${file} ${work_dir}/${file}
        DEPENDS ${source_dir}/${file}
        COMMENT "COPY kmod/${file}")
    list(APPEND copies ${work_dir}/${file})
  endforeach()
  # The sources say -I$(src)/../include, which is true in either place.
  file(CREATE_LINK ${PROJECT_SOURCE_DIR}/include ${PROJECT_BINARY_DIR}/include SYMBOLIC)
  file(GLOB headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/ivpci/*.h
                                      ${PROJECT_SOURCE_DIR}/include/ivshmem/*.h)
  # kbuild's own messages ("CC [M] ...") are what a person wants to see of it.
  add_custom_command(
      OUTPUT ${work_dir}/ivpci.ko
      COMMAND make -C ${SMC_STEER_KERNEL_BUILD} M=${work_dir} modules
      # kbuild leaves an unchanged module alone; ninja wants its time moved.
      COMMAND ${CMAKE_COMMAND} -E touch ${work_dir}/ivpci.ko
      DEPENDS ${copies} ${headers} ${SMC_STEER_KERNEL_BUILD}/Module.symvers
      COMMENT "KBUILD ivpci.ko"
      VERBATIM)
  add_custom_target(kmod ALL DEPENDS ${work_dir}/ivpci.ko)
endfunction()

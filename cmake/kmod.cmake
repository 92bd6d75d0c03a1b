# SPDX-License-Identifier: Apache-2.0
# smc_steer_add_kmod(MODULE DIRECTORY [KERNEL VARIABLE SUFFIX TEXT]): DIRECTORY/MODULE.ko, a part of
# target `kmod`; out of tree, through kbuild, for the guests' kernel, or for the one whose build
# directory the named variable holds; that module is built beside the other, in DIRECTORY<TEXT>. kbuild
# writes beside the sources it compiles, so it is given copies in the build directory: the source tree
# stays clean and two presets do not meet.
function(smc_steer_add_kmod module directory)
  cmake_parse_arguments(arg "" "KERNEL;SUFFIX" "" ${ARGN})
  if(NOT arg_KERNEL)
    set(arg_KERNEL SMC_STEER_KERNEL_BUILD)
  endif()
  set(kernel ${${arg_KERNEL}})
  set(source_dir ${PROJECT_SOURCE_DIR}/${directory})
  set(work_dir ${PROJECT_BINARY_DIR}/${directory}${arg_SUFFIX})
  if(NOT kernel)
    message(STATUS "${directory}${arg_SUFFIX}: skipped, ${arg_KERNEL} is not set")
    return()
  endif()
  if(NOT EXISTS ${source_dir}/Kbuild)
    return()
  endif()
  if(NOT EXISTS ${kernel}/Module.symvers)
    message(FATAL_ERROR "${arg_KERNEL}=${kernel}: no Module.symvers there, name the build directory "
                        "of a finished kernel build")
  endif()

  file(GLOB_RECURSE sources CONFIGURE_DEPENDS RELATIVE ${source_dir} ${source_dir}/*)
  set(copies)
  foreach(file ${sources})
    add_custom_command(
        OUTPUT ${work_dir}/${file}
        COMMAND ${CMAKE_COMMAND} -E copy ${source_dir}/${file} ${work_dir}/${file}
        DEPENDS ${source_dir}/${file}
        COMMENT "COPY ${directory}${arg_SUFFIX}/${file}")
    list(APPEND copies ${work_dir}/${file})
  endforeach()
  # The driver's sources say -I$(src)/../include, which is true in either place.
  file(CREATE_LINK ${PROJECT_SOURCE_DIR}/include ${PROJECT_BINARY_DIR}/include SYMBOLIC)
  file(GLOB headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/ivpci/*.h
                                      ${PROJECT_SOURCE_DIR}/include/ivshmem/*.h
                                      ${PROJECT_SOURCE_DIR}/kmod/ivpci_rings.h
                                      ${PROJECT_SOURCE_DIR}/include/smc_steer/version.h
                                      ${PROJECT_SOURCE_DIR}/include/smc_steer/direct_abi.h)
  # kbuild's own messages ("CC [M] ...") are what a person wants to see of it.
  add_custom_command(
      OUTPUT ${work_dir}/${module}.ko
      COMMAND make -C ${kernel} M=${work_dir} modules
      # kbuild leaves an unchanged module alone; ninja wants its time moved.
      COMMAND ${CMAKE_COMMAND} -E touch ${work_dir}/${module}.ko
      DEPENDS ${copies} ${headers} ${kernel}/Module.symvers
      COMMENT "KBUILD ${directory}${arg_SUFFIX}/${module}.ko"
      VERBATIM)
  add_custom_target(${module}_ko${arg_SUFFIX} DEPENDS ${work_dir}/${module}.ko)
  add_dependencies(kmod ${module}_ko${arg_SUFFIX})
endfunction()

# All modules.
add_custom_target(kmod ALL)

# SPDX-License-Identifier: Apache-2.0
# bpf_object(NAME SOURCE): SOURCE -> NAME.bpf.o -> NAME.skel.h, in the current binary directory.
#
# Target NAME_skel is an interface library with the skeleton's directory and libbpf; the header is
# rebuilt when the source or anything it includes changes (dep file). Property BPF_OBJECT of the
# target is the path of the .bpf.o.
function(bpf_object name source)
  find_program(SMC_STEER_CLANG NAMES clang clang-14 REQUIRED)
  find_program(SMC_STEER_BPFTOOL NAMES bpftool HINTS /usr/sbin REQUIRED)

  set(object ${CMAKE_CURRENT_BINARY_DIR}/${name}.bpf.o)
  set(skeleton ${CMAKE_CURRENT_BINARY_DIR}/${name}.skel.h)
  get_filename_component(source ${source} ABSOLUTE)
  set(shipped ${SMC_STEER_SHIPPED_FLAGS})
  if(shipped)
    list(APPEND shipped -ffile-prefix-map=${SMC_STEER_LIBBPF}=libbpf)
  endif()
  # -target bpf has no default for the multiarch directory that holds asm/types.h.
  add_custom_command(
      OUTPUT ${object}
      COMMAND ${SMC_STEER_CLANG} -target bpf -g -O2 -Wall -Wextra -Wno-unused-parameter -Werror -D__TARGET_ARCH_x86
              ${shipped}
              -I${PROJECT_SOURCE_DIR}/include -I${PROJECT_SOURCE_DIR}/bpf
              -isystem ${SMC_STEER_LIBBPF}/include
              -idirafter /usr/include/${CMAKE_LIBRARY_ARCHITECTURE}
              -MD -MF ${object}.d -MT ${object} -c ${source} -o ${object}
      DEPENDS ${source}
      DEPFILE ${object}.d
      COMMENT "BPF ${name}.bpf.o"
      VERBATIM)
  # Skeletons are written beside and renamed: a failed bpftool must not leave half a header.
  add_custom_command(
      OUTPUT ${skeleton}
      COMMAND sh -c "'${SMC_STEER_BPFTOOL}' gen skeleton '${object}' name '${name}' > '${skeleton}.new' && mv '${skeleton}.new' '${skeleton}'"
      DEPENDS ${object}
      COMMENT "SKEL ${name}.skel.h"
      VERBATIM)
  add_custom_target(${name}_skel_h ALL DEPENDS ${skeleton})
  add_library(${name}_skel INTERFACE)
  add_dependencies(${name}_skel ${name}_skel_h)
  target_include_directories(${name}_skel SYSTEM INTERFACE ${CMAKE_CURRENT_BINARY_DIR})
  target_link_libraries(${name}_skel INTERFACE smc_steer_libbpf)
  set_target_properties(${name}_skel PROPERTIES BPF_OBJECT ${object})
endfunction()

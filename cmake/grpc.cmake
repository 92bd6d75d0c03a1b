# SPDX-License-Identifier: Apache-2.0
# gRPC and protobuf without TLS (the container runtime's socket is a local one), linked statically:
# Debian ships 70 shared libraries for them, which a minimal image would have to carry and a starting
# agent to find. Target: smc_steer_grpc. Function: grpc_library(NAME FILE.proto).
find_program(PROTOC protoc REQUIRED)
find_program(GRPC_CPP_PLUGIN grpc_cpp_plugin REQUIRED)
# Asked once: pkg_check_modules() asks eleven times, and each answer takes half a second.
execute_process(COMMAND ${PKG_CONFIG_EXECUTABLE} --static --libs-only-l grpc++_unsecure
                OUTPUT_VARIABLE libraries OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
separate_arguments(libraries)
list(TRANSFORM libraries REPLACE "^-l" "")

set(archives "")
# upb and the rest are what pkg-config leaves out of libgrpc_unsecure.
foreach(name protobuf ${libraries} upb cares re2 address_sorting)
  if(NOT name MATCHES "^(atomic|rt|dl|pthread|z)$")
    find_library(archive lib${name}.a NO_CACHE REQUIRED)
    list(APPEND archives ${archive})
    unset(archive)
  endif()
endforeach()
list(REMOVE_DUPLICATES archives)

add_library(smc_steer_grpc INTERFACE)
target_link_libraries(smc_steer_grpc INTERFACE
    -Wl,--start-group ${archives} -Wl,--end-group z Threads::Threads ${CMAKE_DL_LIBS})

# A static library of the messages and services of FILE.proto; users include its FILE.pb.h and
# FILE.grpc.pb.h by the path FILE.proto has in the repository.
function(grpc_library name file)
  get_filename_component(source ${file} ABSOLUTE)
  file(RELATIVE_PATH path ${PROJECT_SOURCE_DIR} ${source})
  string(REGEX REPLACE "[.]proto$" "" stem ${path})
  set(out ${PROJECT_BINARY_DIR}/generated)
  set(made ${out}/${stem}.pb.cc ${out}/${stem}.grpc.pb.cc)
  add_custom_command(
      OUTPUT ${made} ${out}/${stem}.pb.h ${out}/${stem}.grpc.pb.h
      COMMAND ${CMAKE_COMMAND} -E make_directory ${out}
      COMMAND ${PROTOC} -I ${PROJECT_SOURCE_DIR} --cpp_out=${out} --grpc_out=${out}
              --plugin=protoc-gen-grpc=${GRPC_CPP_PLUGIN} ${source}
      DEPENDS ${source} VERBATIM)
  add_library(${name} STATIC ${made})
  # Generated code is not ours to warn about.
  target_compile_options(${name} PRIVATE -w)
  target_include_directories(${name} SYSTEM PUBLIC ${out})
  target_link_libraries(${name} PUBLIC smc_steer_grpc)
endfunction()

# SPDX-License-Identifier: Apache-2.0
# steer_fuzzer(NAME SOURCES ... HEADERS ... OPTIONS ...): target NAME, tests/NAME in the build
# directory. It needs clang's libFuzzer, so the sources it covers are compiled once more, by clang,
# with OPTIONS behind them. Without a clang++ there is no such target.
find_program(SMC_STEER_CLANGXX NAMES clang++-14 clang++)

function(steer_fuzzer name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;HEADERS;OPTIONS")
  if(NOT SMC_STEER_CLANGXX)
    message(STATUS "${name}: skipped, there is no clang++")
    return()
  endif()
  set(fuzzer ${PROJECT_BINARY_DIR}/tests/${name})
  add_custom_command(
      OUTPUT ${fuzzer}
      COMMAND ${SMC_STEER_CLANGXX} -std=c++20 -O1 -g -fsanitize=fuzzer,address,undefined
              -fno-sanitize-recover=all -I${PROJECT_SOURCE_DIR} -I${PROJECT_SOURCE_DIR}/include
              -I${PROJECT_BINARY_DIR} ${arg_SOURCES} -o ${fuzzer} ${arg_OPTIONS}
      DEPENDS ${arg_SOURCES} ${arg_HEADERS}
      COMMENT "FUZZER ${name}"
      VERBATIM)
  add_custom_target(${name} DEPENDS ${fuzzer})
endfunction()

# steer_fuzz_minute(NAME FLAG...): target NAME_minute runs it for a minute; what it finds is in the
# build directory.
function(steer_fuzz_minute name)
  if(NOT TARGET ${name})
    return()
  endif()
  set(fuzzer ${PROJECT_BINARY_DIR}/tests/${name})
  add_custom_target(${name}_minute
      COMMAND ${fuzzer} -max_total_time=60 -max_len=2048 -timeout=10 -rss_limit_mb=1024
              -print_final_stats=1 -verbosity=0 ${ARGN}
      DEPENDS ${fuzzer}
      WORKING_DIRECTORY ${PROJECT_BINARY_DIR}/tests
      USES_TERMINAL
      VERBATIM)
endfunction()

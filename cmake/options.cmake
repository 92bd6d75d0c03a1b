# SPDX-License-Identifier: Apache-2.0
# Language level, warnings, sanitizers: the same for every target of the tree.
option(SMC_STEER_WERROR "Warnings are errors" OFF)
option(SMC_STEER_SANITIZE "AddressSanitizer and UndefinedBehaviorSanitizer" OFF)
# Most of a compiler's time goes into the headers of libraries and what it makes of their templates: two files of four
# sources took a quarter less as one of eight. More would compile too much anew with each change.
option(SMC_STEER_UNITY "Compile sources eight at a time" OFF)
if(SMC_STEER_UNITY)
  set(CMAKE_UNITY_BUILD ON)
  set(CMAKE_UNITY_BUILD_BATCH_SIZE 8)
endif()

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 11)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

add_compile_options(-Wall -Wextra)
if(SMC_STEER_WERROR)
  add_compile_options(-Werror)
endif()

# What is shipped: the compiler's and the linker's fences, and no path of this machine in it.
set(SMC_STEER_SHIPPED_FLAGS)
if(CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT SMC_STEER_SANITIZE)
  set(SMC_STEER_SHIPPED_FLAGS -ffile-prefix-map=${PROJECT_BINARY_DIR}=build
                              -ffile-prefix-map=${PROJECT_SOURCE_DIR}=.)
  add_compile_options(${SMC_STEER_SHIPPED_FLAGS} -D_FORTIFY_SOURCE=2 -D_GLIBCXX_ASSERTIONS
                      -fstack-protector-strong -fstack-clash-protection -fcf-protection)
  # Without what libbpf.a says of where it was built, too: the build id is made of it.
  add_link_options(-Wl,-z,relro,-z,now -Wl,--strip-debug)
endif()
if(SMC_STEER_SANITIZE)
  # UBSan reports are fatal: a test that only prints one would pass.
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all
                      -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
endif()

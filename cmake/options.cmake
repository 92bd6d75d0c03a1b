# SPDX-License-Identifier: Apache-2.0
# Language level, warnings, sanitizers: the same for every target of the tree.
option(SMC_STEER_WERROR "Warnings are errors" OFF)
option(SMC_STEER_SANITIZE "AddressSanitizer and UndefinedBehaviorSanitizer" OFF)

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 11)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

add_compile_options(-Wall -Wextra)
if(SMC_STEER_WERROR)
  add_compile_options(-Werror)
endif()
if(SMC_STEER_SANITIZE)
  # UBSan reports are fatal: a test that only prints one would pass.
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all
                      -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
endif()

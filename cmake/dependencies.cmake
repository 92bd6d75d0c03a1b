# SPDX-License-Identifier: Apache-2.0
# Libraries from Debian 12, by the names their own CMake or pkg-config files give them.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(tl-expected REQUIRED)
find_package(CLI11 REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(GTest REQUIRED)
pkg_check_modules(SYSTEMD REQUIRED IMPORTED_TARGET libsystemd)
pkg_check_modules(MICROHTTPD REQUIRED IMPORTED_TARGET libmicrohttpd)
pkg_check_modules(LIBMNL REQUIRED IMPORTED_TARGET libmnl)
pkg_check_modules(CRYPTO REQUIRED IMPORTED_TARGET libcrypto)
pkg_check_modules(HTTPLIB REQUIRED IMPORTED_TARGET cpp-httplib)

# libbpf, static, from a prefix of our own: Debian 12's cannot load struct_ops of a module.
if(SMC_STEER_LIBBPF)
  # Looked for anew each time: the prefix moves with the cache directory.
  unset(SMC_STEER_LIBBPF_A CACHE)
  find_file(SMC_STEER_LIBBPF_A NAMES libbpf.a HINTS ${SMC_STEER_LIBBPF}
            PATH_SUFFIXES lib lib64 NO_DEFAULT_PATH REQUIRED)
  pkg_check_modules(LIBELF REQUIRED IMPORTED_TARGET libelf zlib)
  add_library(smc_steer_libbpf STATIC IMPORTED GLOBAL)
  set_target_properties(smc_steer_libbpf PROPERTIES
      IMPORTED_LOCATION ${SMC_STEER_LIBBPF_A}
      INTERFACE_INCLUDE_DIRECTORIES ${SMC_STEER_LIBBPF}/include
      INTERFACE_LINK_LIBRARIES PkgConfig::LIBELF)
endif()

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The types of include/smc_steer that clang leaves out of the BTF of the programs: enums
 * whose functions were inlined, a structure that only an inner map's size speaks of. Never
 * loaded; tests/abi/btf_enums.cc reads its BTF.
 */
#include <smc_steer/events_abi.h>
#include <smc_steer/policy_abi.h>

enum steer_counter counter;
enum steer_verdict verdict;
enum steer_workload workload;
struct steer_policy policy;

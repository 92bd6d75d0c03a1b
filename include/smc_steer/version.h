/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#ifndef SMC_STEER_VERSION_H
#define SMC_STEER_VERSION_H

/*
 * Of everything that is shipped: programs, driver, packages. This is the one place it is written
 * in; CMake, DKMS and ./dev package read this very line.
 */
#define STEER_VERSION "0.1.0"

/*
 * The version of policy_abi.h and events_abi.h together. It goes up when a map that outlives
 * an agent (agent/kernel/pins.h) changes in a way that an older agent would misread.
 */
#define STEER_ABI_VERSION 1

#endif /* SMC_STEER_VERSION_H */

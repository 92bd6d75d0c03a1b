/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * STEER_VERSION: of everything that is shipped (programs, driver, packages). This is the one place
 * it is written in; CMake, DKMS and ./dev package read it from here.
 *
 * STEER_ABI_VERSION: the version of policy_abi.h and events_abi.h together. It goes up when a map that outlives
 * an agent (agent/kernel/pins.h) changes in a way that an older agent would misread.
 */
#ifndef SMC_STEER_VERSION_H
#define SMC_STEER_VERSION_H

#define STEER_VERSION "0.1.0"
#define STEER_ABI_VERSION 1

#endif /* SMC_STEER_VERSION_H */

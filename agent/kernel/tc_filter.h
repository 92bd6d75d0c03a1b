// SPDX-License-Identifier: Apache-2.0
// A program at a device's tc ingress by a filter at a clsact qdisc: kernels before 6.6, where links
// are not to be had for that. Unlike a link both stay when their maker is killed. All of it is
// about devices of the calling thread's network namespace.
#ifndef SMC_STEER_AGENT_KERNEL_TC_FILTER_H
#define SMC_STEER_AGENT_KERNEL_TC_FILTER_H

#include <cstddef>
#include <vector>

#include "agent/base/result.h"

namespace smc_steer {

// Indices of all devices but the loopback one.
std::vector<int> devices_here();

// In the place of one that a predecessor left. Value: the qdisc is ours, too: it was made now, or
// by that predecessor, which is taken for its maker.
Result<bool> add_filter(int device, int program);

// `qdisc`: that one as well, if nobody else has a filter there by now.
void remove_filter(int device, bool qdisc);

// Takes away what killed agents left. Value: from how many devices.
std::size_t sweep_filters();

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_KERNEL_TC_FILTER_H

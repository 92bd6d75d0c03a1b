// SPDX-License-Identifier: Apache-2.0
// Can this kernel do it, and what is missing if not.
#ifndef SMC_STEER_AGENT_KERNEL_FEATURES_H
#define SMC_STEER_AGENT_KERNEL_FEATURES_H

#include <optional>
#include <string>

namespace smc_steer {

struct Features {
    std::string kernel;     // uname -r
    bool btf = false;       // /sys/kernel/btf/vmlinux
    bool smc = false;       // AF_SMC sockets exist
    bool hs_ctrl = false;   // struct_ops smc_hs_ctrl
    bool fmod_ret = false;  // update_socket_protocol may be modified: needs MPTCP built in
    bool cgroup2 = false;   // /sys/fs/cgroup
    bool capable = false;   // CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_BPF and CAP_PERFMON
};

// Looks, and loads the smc module on the way where modprobe can (a socket of a family
// asks for its module).
Features probe_features();

// The first thing missing: one line that names it and says what to do. `direct`: without SMC and
// BPF, for the direct path alone. Pure.
std::optional<std::string> missing_feature(const Features& features, bool direct = false);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_KERNEL_FEATURES_H

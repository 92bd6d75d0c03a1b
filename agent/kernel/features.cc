// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/features.h"

#include <bpf/btf.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <memory>

#include "agent/base/unique_fd.h"

namespace smc_steer {
namespace {

struct FreeBtf {
    void operator()(btf* b) const { btf__free(b); }
};
using Btf = std::unique_ptr<btf, FreeBtf>;

bool has(const btf* b, const char* name, unsigned kind) {
    return b && btf__find_by_name_kind(b, name, kind) > 0;
}

constexpr const char* kNoCgroup2 =
    "no cgroup2 at /sys/fs/cgroup: 'mount -t cgroup2 none /sys/fs/cgroup' mounts it";

constexpr const char* kDirectPath = "'modprobe tcp_ivpci' brings the direct path";

bool is_capable() {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3]{};
    if (syscall(SYS_capget, &header, data) != 0) {
        return false;
    }
    auto have = [&](unsigned cap) { return (data[cap / 32].effective >> (cap % 32) & 1) != 0; };
    return have(CAP_SYS_ADMIN) && have(CAP_NET_ADMIN) && have(CAP_BPF) && have(CAP_PERFMON);
}

}  // namespace

Features probe_features() {
    Features features;
    utsname name{};
    uname(&name);
    features.kernel = name.release;
    features.capable = is_capable();
    features.smc = UniqueFd(socket(AF_SMC, SOCK_STREAM | SOCK_CLOEXEC, 0)).valid();

    Btf vmlinux(btf__load_vmlinux_btf());
    features.btf = vmlinux != nullptr;
    // The registration's value type exists exactly where struct_ops of this kind can be.
    const char* value_type = "bpf_struct_ops_smc_hs_ctrl";
    Btf module(vmlinux ? btf__load_module_btf("smc", vmlinux.get()) : nullptr);
    features.hs_ctrl = has(vmlinux.get(), value_type, BTF_KIND_STRUCT) ||
                       has(module.get(), value_type, BTF_KIND_STRUCT);
    // The function exists without MPTCP too, but MPTCP is who lists it as modifiable.
    features.fmod_ret = has(vmlinux.get(), "update_socket_protocol", BTF_KIND_FUNC) &&
                        access("/proc/sys/net/mptcp/enabled", F_OK) == 0;

    struct statfs fs {};
    features.cgroup2 = statfs("/sys/fs/cgroup", &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
    return features;
}

std::optional<std::string> missing_feature(const Features& f, bool direct) {
    if (!f.capable) {
        return "CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_BPF and CAP_PERFMON are needed: run smc-agent as "
               "root";
    }
    if (direct) {
        return f.cgroup2 ? std::nullopt : std::optional<std::string>(kNoCgroup2);
    }
    if (!f.btf) {
        return fmt::format(
            "kernel {} has no BTF in /sys/kernel/btf: CONFIG_DEBUG_INFO_BTF is needed", f.kernel);
    }
    if (!f.smc) {
        return fmt::format(
            "kernel {} has no SMC: {}, or a kernel >= 6.19 with CONFIG_SMC and "
            "CONFIG_SMC_HS_CTRL_BPF is needed, and 'modprobe smc' if it is a module",
            f.kernel, kDirectPath);
    }
    if (!f.hs_ctrl) {
        return fmt::format(
            "kernel {} has no smc_hs_ctrl: {}, or a kernel >= 6.19 with CONFIG_SMC_HS_CTRL_BPF is "
            "needed",
            f.kernel, kDirectPath);
    }
    if (!f.fmod_ret) {
        return fmt::format(
            "kernel {} does not let BPF modify update_socket_protocol: {}, or a kernel >= 6.6 with "
            "CONFIG_MPTCP is needed",
            f.kernel, kDirectPath);
    }
    if (!f.cgroup2) {
        return kNoCgroup2;
    }
    return std::nullopt;
}

}  // namespace smc_steer

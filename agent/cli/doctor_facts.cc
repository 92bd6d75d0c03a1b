// SPDX-License-Identifier: Apache-2.0
// Where the doctor's facts come from.
#include <fcntl.h>
#include <ivpci/uapi.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <charconv>
#include <cstring>
#include <fstream>
#include <string_view>

#include "agent/base/unique_fd.h"
#include "agent/cli/client.h"
#include "agent/cli/doctor.h"
#include "agent/kernel/direct_device.h"
#include "agent/kernel/smc_bounds.h"
#include "agent/kernel/sysctl.h"
#include "agent/peers/device.h"

namespace smc_steer {
namespace {

std::optional<int> sysctl_number(const char* name) {
    auto text = read_sysctl(name);
    if (!text) {
        return std::nullopt;
    }
    int value = 0;
    std::string_view digits = *text;
    auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return parsed.ec == std::errc{} ? std::optional<int>(value) : std::nullopt;
}

// "none [integrity] confidentiality": the word in brackets.
std::string lockdown() {
    std::string line;
    std::getline(std::ifstream("/sys/kernel/security/lockdown"), line);
    auto begin = line.find('[');
    auto end = line.find(']');
    return begin == std::string::npos || end < begin ? "" : line.substr(begin + 1, end - begin - 1);
}

Facts::Device look(const std::string& path) {
    Facts::Device device{path, "", 0};
    std::string smc;
    std::getline(std::ifstream("/sys/class/misc/" + path.substr(path.rfind('/') + 1) + "/smc"),
                 smc);
    device.smc = smc != "none";
    UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    ivpci_info info{};
    if (!fd || ioctl(fd.get(), IVPCI_IOC_INFO, &info) != 0) {
        device.error = std::strerror(errno);
        return device;
    }
    device.generation = info.generation;
    return device;
}

}  // namespace

Facts collect_facts(const std::string& socket_path) {
    Facts facts;
    facts.features = probe_features();
    facts.smc_bounded = smc_bounds_peer_memory();
    struct statfs fs {};
    facts.bpffs = statfs("/sys/fs/bpf", &fs) == 0 && fs.f_type == BPF_FS_MAGIC;
    facts.bpf_jit = sysctl_number("net.core.bpf_jit_enable").value_or(1) != 0;
    facts.ivpci_module = access("/sys/module/ivpci", F_OK) == 0;
    facts.tcp_ivpci = access(DirectDevice::kPath, F_OK) == 0;
    for (const auto& path : list_devices()) {
        facts.devices.push_back(look(path));
    }
    facts.syncookies = sysctl_number("net.ipv4.tcp_syncookies");
    facts.wmem = sysctl_number("net.smc.wmem");
    facts.rmem = sysctl_number("net.smc.rmem");
    if (int enforcing = 0; std::ifstream("/sys/fs/selinux/enforce") >> enforcing) {
        facts.selinux_enforcing = enforcing != 0;
    }
    facts.lockdown = lockdown();
    auto answer = ask(socket_path, {{"cmd", "status"}});
    if (answer) {
        facts.status = std::move(*answer);
    } else {
        facts.agent_error = answer.error().message;
    }
    return facts;
}

}  // namespace smc_steer

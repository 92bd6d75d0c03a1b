// SPDX-License-Identifier: Apache-2.0
// smc-policy doctor: what this machine has and lacks, before an agent runs or while one does.
#ifndef SMC_STEER_AGENT_CLI_DOCTOR_H
#define SMC_STEER_AGENT_CLI_DOCTOR_H

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "agent/kernel/features.h"

namespace smc_steer {

enum class Level { good, warning, bad };

struct Finding {
    Level verdict = Level::good;
    std::string what;
    std::string finding;
    std::string remedy;  // empty exactly where all is good
};

// What the machine says.
struct Facts {
    struct Device {
        std::string path;
        std::string error;             // why it cannot be asked
        std::uint32_t generation = 0;  // 0: not joined
        bool smc = true;               // the kernel has an SMC that takes devices of modules
    };
    Features features;
    bool smc_bounded = false;  // net/smc bounds what it reads from the region's memory
    bool bpffs = false;
    bool bpf_jit = true;
    bool ivpci_module = false;
    bool tcp_ivpci = false;  // /dev/tcp_ivpci is there
    std::vector<Device> devices;
    std::optional<int> syncookies;
    std::optional<int> wmem;  // net.smc.*, of our network namespace
    std::optional<int> rmem;
    std::optional<bool> selinux_enforcing;  // none: no SELinux
    std::string lockdown;     // "none", "integrity", "confidentiality"; empty: no such
    nlohmann::json status;    // the agent's answer; null: no agent
    std::string agent_error;  // then: why
};

Facts collect_facts(const std::string& socket_path);
// Pure. Every line that is not good says what to do. Where the agent's path is direct, or the next
// one's will be, nothing is said of SMC and BPF.
std::vector<Finding> diagnose(const Facts& facts);

std::string render_findings(const std::vector<Finding>& findings);
nlohmann::json findings_json(const std::vector<Finding>& findings);
// 0: no `bad` among them; else 1.
int findings_exit_code(const std::vector<Finding>& findings);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_CLI_DOCTOR_H

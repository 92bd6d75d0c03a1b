// SPDX-License-Identifier: Apache-2.0
// The text of a policy file, to and from rules. docs/POLICY has the format.
#ifndef SMC_STEER_AGENT_POLICY_POLICY_FILE_H
#define SMC_STEER_AGENT_POLICY_POLICY_FILE_H

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/policy/rule.h"

namespace smc_steer {

struct PolicyFile {
    std::optional<Action> default_action;
    int default_line = 0;
    std::vector<Rule> rules;
};

// Reads YAML `text`; `name` is what errors call the file. Errors are one line each,
// "name:line: what is wrong", the first one found. Unknown keys are errors: a misspelt
// "deny" must not end up as an open port.
Result<PolicyFile> parse_policy_file(std::string_view text, const std::string& name);

// A file that parse_policy_file() reads back to the same rules (lines apart).
std::string format_policy_file(const std::vector<Rule>& rules);

// The main file (none: `otherwise`) and the drop-ins, which hold rules only: a
// default in a drop-in is an error, because two files could contradict each other.
struct NamedPolicyFile {
    std::string name;
    PolicyFile file;
};
Result<Policy> merge(const std::optional<NamedPolicyFile>& main_file,
                     const std::vector<NamedPolicyFile>& drop_ins,
                     const Policy& otherwise = builtin_policy());

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_POLICY_POLICY_FILE_H

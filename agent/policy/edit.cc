// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/edit.h"

namespace smc_steer {

Edit add_rule(const std::vector<Rule>& own, Action action, PortRange range,
              const std::string& comment) {
    Edit edit;
    const std::vector<PortRange> exactly{range};
    bool present = false;
    for (const auto& rule : own) {
        if (rule.ports != exactly) {
            edit.rules.push_back(rule);
        } else if (rule.action != action) {
            edit.did.push_back("removed: " + to_string(rule));
        } else if (!present) {
            present = true;
            edit.rules.push_back(rule);
            if (!comment.empty() && comment != rule.comment) {
                edit.rules.back().comment = comment;
                edit.did.push_back("changed the comment of: " + to_string(rule));
            }
        }
    }
    if (present) {
        if (edit.did.empty()) {
            edit.did.push_back("there already: " + to_string(Rule{action, exactly, "", {}}));
        }
        return edit;
    }
    edit.rules.push_back({action, exactly, comment, {}});
    edit.did.push_back("added: " + to_string(edit.rules.back()));
    return edit;
}

Edit remove_rule(const std::vector<Rule>& own, const Rule& target) {
    Edit edit;
    for (const auto& rule : own) {
        if (rule == target) {
            edit.did.push_back("removed: " + to_string(rule));
        } else {
            edit.rules.push_back(rule);
        }
    }
    return edit;
}

}  // namespace smc_steer

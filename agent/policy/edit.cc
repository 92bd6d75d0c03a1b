// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/edit.h"

#include <fmt/format.h>

namespace smc_steer {

Edit add_rule(const std::vector<Rule>& own, const Rule& wanted) {
    Edit edit;
    bool present = false;
    for (const auto& rule : own) {
        if (!rule.same_connections(wanted)) {
            edit.rules.push_back(rule);
        } else if (rule.action != wanted.action || rule.via != wanted.via) {
            edit.did.push_back("removed: " + to_string(rule));
        } else if (!present) {
            present = true;
            edit.rules.push_back(rule);
            if (!wanted.comment.empty() && wanted.comment != rule.comment) {
                edit.rules.back().comment = wanted.comment;
                edit.did.push_back("changed the comment of: " + to_string(rule));
            }
        }
    }
    if (present) {
        if (edit.did.empty()) {
            edit.did.push_back("there already: " + to_string(wanted));
        }
        return edit;
    }
    edit.rules.push_back(wanted);
    edit.rules.back().origin = {};
    edit.did.push_back("added: " + to_string(wanted));
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

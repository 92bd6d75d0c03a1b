// SPDX-License-Identifier: Apache-2.0
// The label smc-steer.io/smc-d=ready of the node a pod runs on: there while the agent is ready.
#ifndef SMC_STEER_AGENT_KUBERNETES_NODE_LABEL_H
#define SMC_STEER_AGENT_KUBERNETES_NODE_LABEL_H

#include <chrono>
#include <optional>
#include <string>

#include "agent/base/result.h"

namespace smc_steer {

struct NodeLabelOptions {
    std::string node;                             // its name in the API
    std::string agent = "http://127.0.0.1:9470";  // of whom /readyz is asked
    std::string api;                              // "https://10.96.0.1:443"
    std::string secrets = "/var/run/secrets/kubernetes.io/serviceaccount";  // token, ca.crt
};

// Lower case letters, digits, '-' and '.', as names of nodes are: it becomes a part of a path.
bool is_node_name(const std::string& name);

class NodeLabel {
public:
    explicit NodeLabel(NodeLabelOptions options) : options_(std::move(options)) {}

    // Asks the agent, and tells the API server if that is news, or if it was told long ago
    // (somebody may have changed the label). Value: it was told.
    Result<bool> tick(std::chrono::steady_clock::time_point now);

    // At the end: without an agent there is nobody to say "ready".
    Result<void> remove() { return set(false); }

    [[nodiscard]] bool ready() const { return told_.value_or(false); }

private:
    bool agent_is_ready() const;
    // Merge patch of one label and nothing else; of a label that is not there, a removal is fine.
    Result<void> set(bool ready) const;

    NodeLabelOptions options_;
    std::optional<bool> told_;
    std::chrono::steady_clock::time_point told_at_;
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_KUBERNETES_NODE_LABEL_H

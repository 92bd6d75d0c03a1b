// SPDX-License-Identifier: Apache-2.0
// The page for people beside /metrics: files of agent/daemon/page, filled in. Pure.
//
// Much of what it shows was written by other guests and by whoever names a container: it is made
// fit to be shown (no control characters, UTF-8, not endless) here, and escaped by the template.
#ifndef SMC_STEER_AGENT_DAEMON_STATUS_PAGE_H
#define SMC_STEER_AGENT_DAEMON_STATUS_PAGE_H

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "agent/base/http.h"
#include "agent/daemon/throughput.h"

namespace smc_steer {

inline constexpr std::size_t kPageFlows = 200;  // shown; the rest is counted
inline constexpr std::size_t kPagePeers = 64;
inline constexpr std::size_t kPageAddresses = 8;  // of one peer

// Answers to the commands of these names.
struct PageFacts {
    std::string node;
    nlohmann::json status;
    nlohmann::json peers;
    nlohmann::json flows;
    nlohmann::json reasons;
};

// What the page says, as text ready to be shown, and the numbers of the plot. All lists are
// bounded.
nlohmann::json page_view(const PageFacts& facts, const Throughput& throughput,
                         std::uint64_t now_ns);

// With the headers that keep it from loading anything or being framed.
HttpAnswer page_html(const nlohmann::json& view);
HttpAnswer page_json(const nlohmann::json& view);
// "/status.css", "/status.js"; none: no such file.
const HttpAnswer* page_file(std::string_view path);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_DAEMON_STATUS_PAGE_H

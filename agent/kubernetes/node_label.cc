// SPDX-License-Identifier: Apache-2.0
#include "agent/kubernetes/node_label.h"

#include <httplib.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "agent/base/text.h"

namespace smc_steer {
namespace {

using namespace std::chrono_literals;

constexpr const char* kLabel = "smc-steer.io/smc-d";
constexpr auto kAgain = 5min;
constexpr std::size_t kMostShown = 200;  // of an answer that says no

// kubelet renews it: read for each request.
Result<std::string> read_token(const std::string& path) {
    std::ifstream file(path);
    std::string token;
    if (!std::getline(file, token) || token.empty()) {
        return fail("{}: no token of a service account", path);
    }
    return token;
}

}  // namespace

bool is_node_name(const std::string& name) {
    return !name.empty() && name.size() <= 253 && name.front() != '.' &&
           name.find("..") == std::string::npos &&
           std::all_of(name.begin(), name.end(), [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
           });
}

bool NodeLabel::agent_is_ready() const {
    httplib::Client agent(options_.agent);
    agent.set_connection_timeout(2s);
    agent.set_read_timeout(5s);
    auto answer = agent.Get("/readyz");
    return answer && answer->status == 200;
}

Result<bool> NodeLabel::tick(std::chrono::steady_clock::time_point now) {
    bool ready = agent_is_ready();
    if (told_ == ready && now < told_at_ + kAgain) {
        return false;
    }
    if (auto done = set(ready); !done) {
        return tl::unexpected(done.error());
    }
    told_ = ready;
    told_at_ = now;
    return true;
}

Result<void> NodeLabel::set(bool ready) const {
    auto token = read_token(options_.secrets + "/token");
    if (!token) {
        return tl::unexpected(token.error());
    }
    // Of another scheme httplib would make a client that checks no certificate.
    if (!options_.api.starts_with("https://")) {
        return fail("{}: the API server's address begins with https://", options_.api);
    }
    httplib::Client api(options_.api);
    api.set_ca_cert_path((options_.secrets + "/ca.crt").c_str());
    api.enable_server_certificate_verification(true);
    api.set_connection_timeout(5s);
    api.set_read_timeout(10s);
    nlohmann::json patch = {
        {"metadata",
         {{"labels", {{kLabel, ready ? nlohmann::json("ready") : nlohmann::json(nullptr)}}}}}};
    httplib::Headers headers{{"Authorization", "Bearer " + *token}};
    auto path = "/api/v1/nodes/" + options_.node;
    auto answer = api.Patch(path.c_str(), headers, patch.dump(), "application/merge-patch+json");
    if (!answer) {
        return fail("{}: {}", options_.api, httplib::to_string(answer.error()));
    }
    if (answer->status != 200) {
        return fail("{}{}: {} {}", options_.api, path, answer->status,
                    one_line(answer->body.substr(0, kMostShown)));
    }
    return {};
}

}  // namespace smc_steer

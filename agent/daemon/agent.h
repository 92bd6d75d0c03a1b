// SPDX-License-Identifier: Apache-2.0
// The daemon: policy, control socket, and a session whenever one is possible.
#ifndef SMC_STEER_AGENT_DAEMON_AGENT_H
#define SMC_STEER_AGENT_DAEMON_AGENT_H

#include <cstdint>
#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/event_loop.h"
#include "agent/base/http.h"
#include "agent/daemon/access.h"
#include "agent/daemon/config.h"
#include "agent/daemon/control_protocol.h"
#include "agent/daemon/control_server.h"
#include "agent/daemon/handover.h"
#include "agent/daemon/path_choice.h"
#include "agent/daemon/policy_source.h"
#include "agent/daemon/session.h"
#include "agent/daemon/throughput.h"
#include "agent/kernel/features.h"

namespace smc_steer {

inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitUnsupported = 3;

class Agent {
public:
    // `argv`: how to start this program again; argv[0] is its path. `handover`: what it was
    // when it was another program.
    Agent(EventLoop& loop, Config config, PolicyPaths policy_paths, std::string socket_path,
          std::vector<std::string> argv, std::optional<Handover> handover);
    // Takes everything back, the session first.
    ~Agent();
    Agent(const Agent&) = delete;
    Agent& operator=(const Agent&) = delete;

    // None: running, active or idle. Else the exit code, and the log has said why.
    std::optional<int> start();

    // Reads the policy again (SIGHUP, changed files). A bad one leaves the old in force.
    void reload_policy();

private:
    // Why nothing is steered; none: a session runs. `unsupported`: the machine lacks
    // something, as opposed to something that went wrong.
    // `undecided`: nothing is lacking but the operator's word, which an agent waits for, whatever
    // when_unsupported says.
    struct Obstacle {
        std::string reason;
        bool unsupported = false;
        bool undecided = false;
    };
    std::optional<Obstacle> try_session();
    std::optional<Obstacle> start_session(const Paths& paths);
    // What this machine and its operator have against a session with these paths.
    std::optional<Obstacle> obstacle_to(const Paths& paths) const;
    // tcp_ivpci was loaded or unloaded: the session that runs gives way to one with other paths. If
    // that one cannot start, one like the old one takes its place.
    void follow_module();
    Result<void> listen();
    Inheritance inheritance();
    // Becomes another program, if that one says that it can.
    nlohmann::json upgrade(const std::string& binary);
    void hand_over_now(const std::vector<std::string>& argv);
    void on_device_lost();
    void took_effect(Policy policy);
    void tick();
    void say_status() const;

    // Serving metrics is a convenience: what goes wrong with it is logged.
    void serve_http();
    HttpAnswer http(const HttpRequest& request);
    HttpAnswer page(const HttpRequest& request);
    const nlohmann::json& view();

    ControlServer::Answer handle(std::string_view line, const Caller& caller);
    nlohmann::json answer(const Request& request);
    nlohmann::json status();
    nlohmann::json report_process() const;
    nlohmann::json monitor();
    nlohmann::json rules() const;
    nlohmann::json edit(const Request& request);
    nlohmann::json remove(int number);
    nlohmann::json apply();
    nlohmann::json explain(const Request& request);
    nlohmann::json put_in_force(const std::vector<Rule>& own, std::vector<std::string> did);

    EventLoop& loop_;
    Config config_;
    PolicyPaths policy_paths_;
    std::string socket_path_;
    std::vector<std::string> argv_;
    std::optional<Handover> handover_;
    Features features_;
    bool smc_bounded_ = false;
    Policy policy_;
    std::string policy_error_;
    std::string reason_;  // of being idle
    int ticks_idle_ = 0;
    PathChange path_change_;
    std::string path_problem_;  // of the last change, as it was said
    std::int64_t start_time_ = time(nullptr);
    int upgrades_ = 0;
    Access access_;
    std::unique_ptr<ControlServer> control_;
    std::unique_ptr<HttpServer> http_;
    Throughput throughput_;  // for the status page, where there is one
    nlohmann::json view_;    // as of view_ns_
    std::uint64_t view_ns_ = 0;
    std::unique_ptr<PolicyWatch> watch_;
    std::unique_ptr<Session> session_;
    EventSource ticking_;
    EventSource lost_;
    EventSource handing_over_;
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_DAEMON_AGENT_H

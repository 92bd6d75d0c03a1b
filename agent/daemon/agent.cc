// SPDX-License-Identifier: Apache-2.0
#include "agent/daemon/agent.h"

#include <spdlog/spdlog.h>
#include <systemd/sd-daemon.h>

#include <utility>

#include "agent/peers/device.h"

namespace smc_steer {
namespace {

constexpr auto kTick = std::chrono::seconds(1);
constexpr int kRetrySeconds = 3;

}  // namespace

Agent::Agent(EventLoop& loop, Config config, PolicyPaths policy_paths, std::string socket_path)
    : loop_(loop),
      config_(std::move(config)),
      policy_paths_(std::move(policy_paths)),
      socket_path_(std::move(socket_path)) {}

Agent::~Agent() {
    ticking_.reset();
    session_.reset();
}

std::optional<int> Agent::start() {
    auto policy = load_policy(policy_paths_);
    if (!policy) {
        spdlog::error("{}", policy.error().message);
        return kExitUsage;
    }
    policy_ = std::move(*policy);

    auto access = resolve_access(config_.control_read, config_.control_write);
    if (!access) {
        spdlog::error("{}", access.error().message);
        return kExitUsage;
    }
    access_ = *access;
    auto control = ControlServer::listen(
        loop_, socket_path_, access_,
        [this](std::string_view line, const Caller& caller) { return handle(line, caller); });
    if (!control) {
        spdlog::error("{}", control.error().message);
        return kExitFailed;
    }
    control_ = std::move(*control);

    if (auto obstacle = try_session()) {
        if (!obstacle->unsupported) {
            spdlog::error("{}", obstacle->reason);
            return kExitFailed;
        }
        if (config_.when_unsupported == WhenUnsupported::exit) {
            spdlog::error("{}; TCP is untouched", obstacle->reason);
            return kExitUnsupported;
        }
        spdlog::warn("idle: {}; TCP is untouched", obstacle->reason);
        reason_ = obstacle->reason;
    }
    serve_http();
    watch_ = std::make_unique<PolicyWatch>(loop_, policy_paths_, [this] { reload_policy(); });
    watch_->refresh();
    auto ticking = loop_.every(kTick, [this] { tick(); });
    if (!ticking) {
        spdlog::error("{}", ticking.error().message);
        return kExitFailed;
    }
    ticking_ = std::move(*ticking);
    sd_notify(0, "READY=1");
    say_status();
    return std::nullopt;
}

void Agent::serve_http() {
    if (config_.metrics_listen.empty()) {
        return;
    }
    auto http = HttpServer::serve(loop_, config_.metrics_listen,
                                  [this](std::string_view path) { return this->http(path); });
    if (!http) {
        spdlog::warn("no metrics: {}", http.error().message);
        return;
    }
    http_ = std::move(*http);
}

std::optional<Agent::Obstacle> Agent::try_session() {
    features_ = probe_features();
    if (auto missing = missing_feature(features_)) {
        return Obstacle{*missing, true};
    }
    if (auto device = find_device(config_.device); !device) {
        return Obstacle{device.error().message, true};
    }
    auto session = Session::start(loop_, config_, policy_, [this] { on_device_lost(); });
    if (!session) {
        return Obstacle{session.error().message, false};
    }
    session_ = std::move(*session);
    spdlog::info("active: new connections to guests of this host run over SMC-D");
    return std::nullopt;
}

void Agent::on_device_lost() {
    // Later, not now: the caller is the session.
    auto later = loop_.after(std::chrono::microseconds(0), [this] {
        reason_ = "the ivpci device went away";
        spdlog::warn("idle: {}; new connections are TCP", reason_);
        session_.reset();
        seconds_idle_ = 0;
        say_status();
    });
    if (later) {
        lost_ = std::move(*later);
    }
}

void Agent::tick() {
    sd_notify(0, "WATCHDOG=1");
    watch_->refresh();
    if (session_) {
        session_->tick();
        return;
    }
    if (++seconds_idle_ % kRetrySeconds != 0) {
        return;
    }
    auto obstacle = try_session();
    if (!obstacle) {
        reason_.clear();
    } else if (obstacle->reason != reason_) {
        reason_ = obstacle->reason;
        spdlog::warn("idle: {}", reason_);
    } else {
        return;
    }
    say_status();
}

void Agent::say_status() const {
    sd_notify(0, session_ ? "STATUS=active" : ("STATUS=idle: " + reason_).c_str());
}

void Agent::reload_policy() {
    auto policy = load_policy(policy_paths_);
    auto done = policy && session_ ? session_->set_policy(*policy) : Result<void>{};
    if (!policy) {
        done = tl::unexpected(policy.error());
    }
    if (!done) {
        if (policy_error_ != done.error().message) {
            spdlog::error("{}; the old rules stay in force", done.error().message);
        }
        policy_error_ = done.error().message;
        return;
    }
    policy_error_.clear();
    bool changed =
        policy->rules != policy_.rules || policy->default_action != policy_.default_action;
    policy_ = std::move(*policy);
    if (changed) {
        spdlog::info("policy: {} rules in force", policy_.rules.size());
    }
}

}  // namespace smc_steer

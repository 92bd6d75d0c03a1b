// SPDX-License-Identifier: Apache-2.0
#include "agent/daemon/agent.h"

#include <spdlog/spdlog.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <utility>

#include "agent/base/clock.h"
#include "agent/kernel/smc_bounds.h"
#include "agent/peers/device.h"

namespace smc_steer {
namespace {

constexpr auto kAgentTick = std::chrono::milliseconds(500);
constexpr int kRetryTicks = 6;

}  // namespace

Agent::Agent(EventLoop& loop, Config config, PolicyPaths policy_paths, std::string socket_path,
             std::vector<std::string> argv, std::optional<Handover> handover)
    : loop_(loop),
      config_(std::move(config)),
      policy_paths_(std::move(policy_paths)),
      socket_path_(std::move(socket_path)),
      argv_(std::move(argv)),
      handover_(std::move(handover)),
      upgrades_(handover_ ? handover_->upgrades + 1 : 0) {}

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
    if (auto done = listen(); !done) {
        spdlog::error("{}", done.error().message);
        return kExitFailed;
    }

    if (auto obstacle = try_session()) {
        if (!obstacle->unsupported) {
            spdlog::error("{}", obstacle->reason);
            return kExitFailed;
        }
        if (config_.when_unsupported == WhenUnsupported::exit && !obstacle->undecided) {
            spdlog::error("{}; TCP is untouched", obstacle->reason);
            return kExitUnsupported;
        }
        spdlog::warn("idle: {}; TCP is untouched", obstacle->reason);
        reason_ = obstacle->reason;
    }
    serve_http();
    watch_ = std::make_unique<PolicyWatch>(loop_, policy_paths_, [this] { reload_policy(); });
    watch_->refresh();
    auto ticking = loop_.every(kAgentTick, [this] { tick(); });
    if (!ticking) {
        spdlog::error("{}", ticking.error().message);
        return kExitFailed;
    }
    ticking_ = std::move(*ticking);
    sd_notify(0, "READY=1");
    say_status();
    return std::nullopt;
}

Result<void> Agent::listen() {
    auto handler = [this](std::string_view line, const Caller& caller) {
        return handle(line, caller);
    };
    auto control =
        handover_
            ? ControlServer::take_over(loop_, socket_path_, access_, std::move(handover_->lock),
                                       std::move(handover_->listener), std::move(handler))
            : ControlServer::listen(loop_, socket_path_, access_, std::move(handler));
    if (!control) {
        return tl::unexpected(control.error());
    }
    control_ = std::move(*control);
    return {};
}

// Of the program we were, or of an agent that did not end by itself.
Inheritance Agent::inheritance() {
    Inheritance inherited;
    if (handover_) {
        inherited.device = std::move(handover_->device);
        inherited.device_path = std::move(handover_->device_path);
        inherited.links = {std::move(handover_->steer), std::move(handover_->flows)};
        inherited.agents = std::move(handover_->links);
        if (handover_->link_port != config_.link_port) {
            inherited.agents.listener.reset();
        }
        if (handover_->state.is_object()) {
            if (auto saved = saved_state_from(handover_->state)) {
                inherited.saved = std::move(*saved);
            }
        }
        handover_.reset();
        return inherited;
    }
    auto saved = load_saved_state(saved_state_path(socket_path_));
    if (!saved) {
        spdlog::warn("what a former agent changed is not known: {}", saved.error().message);
    } else if (*saved) {
        inherited.saved = std::move(**saved);
        inherited.saved.totals = {};  // as of some moment of its life, not its end
    }
    return inherited;
}

void Agent::serve_http() {
    if (config_.metrics_listen.empty()) {
        return;
    }
    auto http =
        HttpServer::serve(loop_, config_.metrics_listen,
                          [this](const HttpRequest& request) { return this->http(request); });
    if (!http) {
        spdlog::warn("no metrics: {}", http.error().message);
        return;
    }
    http_ = std::move(*http);
}

std::optional<Agent::Obstacle> Agent::obstacle_to(const Paths& paths) const {
    if (auto missing = missing_feature(features_, !paths.smc)) {
        return Obstacle{*missing, true};
    }
    if (auto device = find_device(config_.device); !device) {
        return Obstacle{device.error().message, true};
    }
    if (paths.smc && !may_steer_to_smc(smc_bounded_, config_.trust)) {
        return Obstacle{not_trusted(features_.kernel), true, true};
    }
    return std::nullopt;
}

std::optional<Agent::Obstacle> Agent::try_session() {
    features_ = probe_features();
    if (config_.path == Path::off) {
        // An agent before this one may have left some.
        if (auto device = DirectDevice::open()) {
            device->detach_all();
        }
        return Obstacle{"path: off in agent.yaml", true, true};
    }
    smc_bounded_ = smc_bounds_peer_memory();
    auto paths = choose_paths(config_);
    if (auto obstacle = obstacle_to(paths)) {
        return obstacle;
    }
    return start_session(paths);
}

std::optional<Agent::Obstacle> Agent::start_session(const Paths& paths) {
    auto session = Session::start(loop_, config_, policy_, saved_state_path(socket_path_),
                                  inheritance(), paths, [this] { on_device_lost(); });
    if (!session) {
        return Obstacle{session.error().message, false};
    }
    session_ = std::move(*session);
    reason_.clear();
    // Who listened to the one before listens to this one.
    if (control_->streams()) {
        monitor();
    }
    if (paths.smc) {
        spdlog::info("active: new connections to guests of this host run over SMC-D");
    } else {
        spdlog::info("active: connections with guests of this host move onto shared memory");
    }
    return std::nullopt;
}

void Agent::on_device_lost() {
    // Later, not now: the caller is the session.
    auto later = loop_.after(std::chrono::microseconds(0), [this] {
        reason_ = "the ivpci device went away";
        spdlog::warn("idle: {}; new connections are TCP", reason_);
        session_.reset();
        ticks_idle_ = 0;
        say_status();
    });
    if (later) {
        lost_ = std::move(*later);
    }
}

// A machine that cannot have the other path keeps the session: where SMC is not to be had, an agent
// without the module waits for it.
void Agent::follow_module() {
    if (config_.path != Path::automatic) {
        return;
    }
    auto wants = choose_paths(config_);
    if (!path_change_.is_due(session_->paths(), wants)) {
        return;
    }
    features_ = probe_features();
    smc_bounded_ = smc_bounds_peer_memory();
    if (auto obstacle = obstacle_to(wants)) {
        spdlog::debug("the paths stay what they are: {}", obstacle->reason);
        return;
    }
    spdlog::info("tcp_ivpci was {}: the paths are chosen anew",
                 wants.direct ? "loaded" : "unloaded");
    const auto had = session_->paths();
    session_.reset();
    auto problems = start_one_of({wants, had}, [this](const Paths& paths) {
        auto obstacle = start_session(paths);
        return obstacle ? obstacle->reason : "";
    });
    auto problem = problems.empty() ? "" : problems.front();
    if (!session_) {
        reason_ = problem;
        ticks_idle_ = 0;
        spdlog::warn("idle: {}", reason_);
    } else if (problem != path_problem_ && !problem.empty()) {
        spdlog::warn("the paths stay what they were: {}", problem);
    }
    path_problem_ = std::move(problem);
    say_status();
}

void Agent::tick() {
    sd_notify(0, "WATCHDOG=1");
    watch_->refresh();
    if (session_) {
        if (control_->streams() == 0) {
            session_->stop_listening();
        }
        session_->tick();
        follow_module();
    }
    if (config_.status_page) {
        auto moved = session_ ? session_->moved() : Session::Moved{};
        throughput_.add(monotonic_ns(), moved.sent, moved.received);
    }
    if (session_) {
        return;
    }
    if (++ticks_idle_ % kRetryTicks != 0) {
        return;
    }
    if (auto obstacle = try_session()) {
        if (obstacle->reason == reason_) {
            return;
        }
        reason_ = obstacle->reason;
        spdlog::warn("idle: {}", reason_);
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
    took_effect(std::move(*policy));
}

void Agent::took_effect(Policy policy) {
    policy_error_.clear();
    bool changed = policy.rules != policy_.rules || policy.default_action != policy_.default_action;
    policy_ = std::move(policy);
    if (changed) {
        spdlog::info("policy: {} rules in force", policy_.rules.size());
    }
}

}  // namespace smc_steer

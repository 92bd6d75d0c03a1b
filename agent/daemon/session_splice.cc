// SPDX-License-Identifier: Apache-2.0
// The relay of a session: what it decides by, and where it is.
#include <fcntl.h>
#include <spdlog/spdlog.h>

#include <utility>

#include "agent/daemon/session.h"

namespace smc_steer {

using nlohmann::json;

Result<void> Session::start_splice() {
    const auto& wanted = config_.splice;
    using Join = Splice::Join;
    auto hooks = datapath_->load_splice(!native_, wanted.join == Join::sockmap, join_problem_);
    if (!hooks) {
        return tl::unexpected(hooks.error());
    }
    SpliceOptions options;
    options.port = wanted.port;
    options.outgoing = !native_;
    options.buffer = wanted.buffer;
    options.after = wanted.after;
    options.timers = timers();
    if (wanted.join == Join::automatic || wanted.join == Join::kernel) {
        auto there = JoinModule::open();
        options.in_kernel = there.has_value();
        join_problem_ = there ? std::string() : there.error().message;
    }
    if (!join_problem_.empty()) {
        spdlog::warn("relayed connections are joined by TCP, which is slower: {}", join_problem_);
    }
    if (auto done = (*hooks)->attach(); !done) {
        return done;
    }
    auto relay = Relay::start(std::move(*hooks), options);
    if (!relay) {
        return tl::unexpected(relay.error());
    }
    relay_ = std::move(*relay);
    auto adoption = datapath_->load_adoption();
    if (!adoption) {
        adoption_problem_ = adoption.error().message;
        spdlog::warn("running servers are reached by agents alone: {}", adoption_problem_);
        return {};
    }
    adoption_ = std::move(*adoption);
    return {};
}

// Devices come and go without a word to us: looked at every five seconds.
void Session::refresh_adoption() {
    constexpr unsigned kTicks = 10;
    if (!adoption_ || looks_at_devices_++ % kTicks != 0) {
        return;
    }
    std::map<NetnsId, Adoption::Namespace> all;
    for (const auto& [id, fd] : namespaces_->covered()) {
        all[id] = {fd, namespaces_->published(id)};
    }
    std::string problem;
    if (auto done = adoption_->refresh(all, config_.splice.port); !done) {
        problem = done.error().message;
    }
    if (!problem.empty() && problem != adoption_problem_) {
        spdlog::warn("some running servers are reached by agents alone: {}", problem);
    }
    adoption_problem_ = std::move(problem);
}

// After every change of the peers or the rules.
void Session::update_splice() {
    if (!relay_) {
        return;
    }
    auto view = std::make_shared<SpliceView>();
    for (const auto& [address, ref] : same_host_.addresses) {
        if (ref.linked) {
            view->peers[address] = {ref.splice_port};
        }
    }
    view->policy = policy_;
    relay_->set_view(std::move(view));
}

// After every scan that found something new.
void Session::cover_splice() {
    if (!relay_) {
        return;
    }
    auto covered = namespaces_->covered();
    relay_->keep(covered);
    for (const auto& [id, fd] : covered) {
        UniqueFd netns;
        if (id != namespaces_->own()) {
            netns = UniqueFd(fcntl(fd, F_DUPFD_CLOEXEC, 0));
        }
        if (auto done = relay_->cover(id, std::move(netns)); !done) {
            spdlog::warn("nothing is relayed in network namespace net:[{}]: {}", id.inode,
                         done.error().message);
        }
    }
}

json Session::explain_adopt(Direction way, bool adopted) const {
    const bool relays = relay_ != nullptr && adopted;
    if (native_ && (way == Direction::out || !adopted)) {
        return nullptr;  // an SMC socket needs no rule with adopt
    }
    std::string text = native_
                           ? "a server that is no SMC socket"
                           : "a kernel without IPPROTO_SMC makes no SMC sockets: the connection";
    text += relays     ? " is relayed by the agents"
            : !adopted ? " is TCP unless a rule with adopt allows it"
                       : " is TCP: a rule has adopt, and splice is off in agent.yaml";
    return {{"what", "adopt"}, {"ok", relays || native_}, {"text", std::move(text)}};
}

void Session::report_splice(json& out) const {
    if (!relay_) {
        return;
    }
    const auto& stats = relay_->stats();
    out["splice"] = {
        {"port", config_.splice.port},
        {"outgoing", relay_->options().outgoing},
        {"join", relay_->options().in_kernel ? "kernel"
                 : relay_->hooks().joins()   ? "sockmap"
                                             : "loopback"},
        {"join_problem", join_problem_},
        {"adopting_devices", adoption_ ? adoption_->devices() : 0},
        {"adopting_problem", adoption_problem_},
        {"asked", stats.asked.load()},
        {"relayed", stats.relayed.load()},
        {"reused", stats.reused.load()},
        {"native", stats.native.load()},
        {"plain", stats.plain.load()},
        {"refused", stats.refused.load()},
        {"incoming", stats.incoming.load()},
        {"adopted", stats.adopted.load()},
        {"denied", stats.denied.load()},
        {"strangers", stats.strangers.load()},
        {"disagreed", stats.disagreed.load()},
        {"broken_off", stats.broken_off.load()},
        {"carried", stats.carried.load()},
        {"active", stats.active.load()},
        {"sent", stats.sent.load()},
        {"received", stats.received.load()},
    };
}

}  // namespace smc_steer

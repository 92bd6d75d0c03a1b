// SPDX-License-Identifier: Apache-2.0
// What a session tells the control socket.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "agent/base/clock.h"
#include "agent/daemon/session.h"
#include "agent/kernel/smc_reasons.h"
#include "agent/workloads/machine.h"

namespace smc_steer {
namespace {

using nlohmann::json;

std::string hex(std::uint64_t value) { return fmt::format("{:#018x}", value); }

std::string uuid_text(const unsigned char (&uuid)[16]) {
    std::string text;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            text += '-';
        }
        text += fmt::format("{:02x}", uuid[i]);
    }
    return text;
}

// After what a connection is moved.
std::string text_of(const OffloadLimits& limits) {
    auto text = fmt::format("{} bytes or {} messages in a quarter of a second", limits.after_bytes,
                            limits.after_messages);
    return limits.after_ms ? text + fmt::format(", or after {} ms and in use", limits.after_ms)
                           : text;
}

json stats_json(const ivpci_stats& s) {
    return {
        {"dmbs", s.dmbs},
        {"dmbs_parked", s.dmbs_parked},
        {"dmb_bytes", s.dmb_bytes},
        {"chunks", s.chunks},
        {"attachments", s.attachments},
        {"registered", s.registered},
        {"refused_full", s.refused_full},
        {"refused_index", s.refused_index},
        {"refused_peer", s.refused_peer},
        {"bytes_sent", s.bytes_sent},
        {"signals_sent", s.signals_sent},
        {"doorbells_sent", s.doorbells_sent},
        {"doorbells_skipped", s.doorbells_skipped},
        {"ring_overflows", s.ring_overflows},
        {"interrupts", s.interrupts},
        {"polls", s.polls},
        {"poll_hits", s.poll_hits},
        {"poll_nanoseconds", s.poll_ns},
        {"signals_received", s.signals_received},
        {"full_scans", s.full_scans},
        {"events_sent", s.events_sent},
        {"events_received", s.events_received},
        {"peers_lost", s.peers_lost},
        {"refused_broker", s.refused_broker},
        {"refused_memory", s.refused_memory},
        {"refused_header", s.refused_header},
        {"header_tampered", s.header_tampered},
        {"peers_silent", s.peers_silent},
        {"poll_rests", s.poll_rests},
    };
}

}  // namespace

void Session::report_status(json& out) {
    out["device"] = {
        {"path", device_.path()},
        {"slot", info_.slot},
        {"slots", info_.slots},
        {"generation", info_.generation},
        {"gid", hex(info_.gid)},
        {"vectors", info_.vectors},
        {"fabric_id", info_.fabric_id},
        {"region", {{"uuid", uuid_text(info_.uuid)}, {"size", info_.size}}},
    };
    out["eid"] = eid_;
    out["path"] = paths_.smc && paths_.direct ? "smc, direct" : paths_.smc ? "smc" : "direct";
    out["handshake"] = datapath_ ? datapath_->handshake_name() : "";
    out["netns"] = namespaces_->size();
    std::size_t live = 0;
    std::size_t linked = 0;
    std::size_t talking = 0;
    for (const auto& [slot, peer] : peers_) {
        live += peer.membership.state == IVPCI_SLOT_LIVE;
        linked += links_ && links_->up(slot);
        talking += direct_ && direct_->up(slot);
    }
    out["peers"] = live;
    out["same_host_addresses"] = std::count_if(
        same_host_.addresses.begin(), same_host_.addresses.end(), [this](const auto& entry) {
            return entry.second.linked || (direct_ && direct_->up(entry.second.slot));
        });
    out["link"] = {{"port", config_.link_port},
                   {"up", linked},
                   {"strangers", links_ ? links_->strangers() : 0}};
    if (direct_) {
        direct_->report_status(out);
        out["offload"]["up"] = talking;
    }

    if (datapath_ && !config_.services.empty()) {
        auto* guards = datapath_->guards();
        out["services"] = {
            {"ranges", config_.services.size()},
            {"offered", guards && guards->offers()},
            {"devices", guards ? guards->devices() : 0},
            {"problem", guards_problem_},
        };
    }

    json counters = json::object();
    std::uint64_t same_host_tcp = 0;
    auto values =
        datapath_ ? datapath_->stores().counters() : tl::unexpected(Error{"no SMC path", 0});
    if (values) {
        for (unsigned i = 0; i < values->size(); i++) {
            counters[std::string(counter_name(static_cast<steer_counter>(i)))] = (*values)[i];
        }
        same_host_tcp = (*values)[STEER_ESTABLISHED_TCP];
    }
    out["counters"] = std::move(counters);
    const auto& totals = namespaces_->totals();
    out["connections"] = {
        {"smcd",
         totals.smcd() - std::min<std::uint64_t>(totals.smcd(), links_ ? links_->made() : 0)},
        {"direct", direct_ ? direct_->totals().moved : 0},
        {"tcp", same_host_tcp + totals.failed()},
        {"failed", totals.failed()},
    };
    report_workloads(out);
    auto stats = device_.stats();
    out["ivpci"] = stats ? stats_json(*stats) : json::object();
}

json Session::report_reasons() const {
    const auto& totals = namespaces_->totals();
    json list = json::array();
    auto add = [&](const char* side, const std::map<std::uint32_t, std::uint64_t>& fallbacks) {
        for (const auto& [code, count] : fallbacks) {
            const auto* reason = find_reason(code);
            list.push_back({
                {"code", reason_code(code)},
                {"name", reason_name(code)},
                {"side", side},
                {"count", count},
                {"text", reason_text(code)},
                {"remedy", reason ? reason->remedy : ""},
            });
        }
    };
    add("client", totals.fallbacks_client);
    add("server", totals.fallbacks_server);
    return list;
}

json Session::report_programs() const {
    json list = json::array();
    if (!datapath_) {
        return list;
    }
    for (const auto& cost : datapath_->costs()) {
        list.push_back(
            {{"name", cost.name}, {"runs", cost.runs}, {"nanoseconds", cost.nanoseconds}});
    }
    return list;
}

json Session::report_peers() const {
    json list = json::array();
    for (const auto& [slot, peer] : peers_) {
        json addresses = json::array();
        for (const auto& address : peer.bulletin.addresses) {
            addresses.push_back(to_string(address));
        }
        auto version = peer.bulletin.agent_version;
        list.push_back({
            {"slot", slot},
            {"generation", peer.membership.generation},
            {"gid", hex(peer.membership.gid)},
            {"state", slot_state_name(peer.membership.state)},
            {"name", peer.bulletin.name},
            {"agent",
             version ? fmt::format("{}.{}.{}", version >> 16, version >> 8 & 0xff, version & 0xff)
                     : ""},
            {"link", links_ && links_->up(slot) ? "up" : "down"},
            {"link_problem", links_ ? links_->problem(slot) : ""},
            {"wire", direct_ && direct_->up(slot) ? "up" : "down"},
            {"wire_problem", direct_ ? direct_->wire_problem(slot) : ""},
            {"addresses", std::move(addresses)},
        });
    }
    return list;
}

json Session::explain_peer(const Address& peer, Via path) {
    json steps = json::array();
    auto add = [&steps](const char* what, bool good, std::string text) {
        steps.push_back({{"what", what}, {"ok", good}, {"text", std::move(text)}});
    };
    auto entry = same_host_.addresses.find(peer);
    bool linked = entry != same_host_.addresses.end() && entry->second.linked;
    if (same_host_.disputed.contains(peer)) {
        add("peer", false, "two guests of this host publish " + to_string(peer));
    } else if (entry == same_host_.addresses.end() && is_service(peer)) {
        add("peer", false,
            "a service's address: what the packet carries after it was rewritten decides; ask "
            "for that address");
    } else if (entry == same_host_.addresses.end()) {
        add("peer", false, "no guest of this host publishes " + to_string(peer));
    } else {
        auto known = peers_.find(entry->second.slot);
        add("peer", true,
            fmt::format("slot {}, {}", entry->second.slot,
                        known == peers_.end() ? "" : known->second.bulletin.name));
        auto problem = links_ ? links_->problem(entry->second.slot) : "";
        if (direct_) {
            auto slot = entry->second.slot;
            auto what =
                direct_->problem().empty() ? direct_->wire_problem(slot) : direct_->problem();
            bool good = direct_->up(slot) && direct_->problem().empty();
            add("direct", good || path == Via::smc,
                good           ? "its agent answers: moved after " + text_of(config_.offload.limits)
                : what.empty() ? "its agent does not answer (yet)"
                               : what);
        }
        if (path == Via::direct) {
            return steps;
        }
        add("link", linked,
            linked            ? "an SMC-D connection with its agent proves that it works"
            : problem.empty() ? "no SMC-D connection with its agent yet"
                              : "no SMC-D connection with its agent: " + problem);
    }
    add("EID", true,
        eid_ + (linked ? "; the peer has it too, or there were no link"
                       : "; without the same one at the peer there is no link"));
    if (auto stats = device_.stats()) {
        auto refused = stats->refused_full;
        add("region", true,
            refused ? fmt::format("was full {} times; while it is, connections fall back to TCP",
                                  refused)
                    : "has room");
    }
    return steps;
}

// What agents say to each other is no program's.
bool Session::is_wire(const SocketAddresses& addresses) const {
    return direct_->is_port(addresses.local_port) || direct_->is_port(addresses.peer_port);
}

bool Session::is_service(const Address& address) const {
    return std::any_of(config_.services.begin(), config_.services.end(),
                       [&](const Cidr& range) { return range.contains(address.in6); });
}

json Session::report_endpoints() const {
    json list = json::array();
    if (!datapath_) {
        return list;
    }
    for (const auto& [address, port, lengths] : datapath_->stores().endpoints()) {
        auto count = std::max<std::uint64_t>(lengths.connections, 1);
        list.push_back({
            {"peer", to_string(address)},
            {"port", port},
            {"connections", lengths.connections},
            {"short", lengths.short_ones},
            {"mean_bytes", lengths.bytes / count},
            {"mean_seconds",
             static_cast<double>(lengths.lifetime_ns) / 1e9 / static_cast<double>(count)},
            {"stepped_back", lengths.back != 0 && datapath_->stores().steps_back()},
        });
    }
    return list;
}

json Session::explain_lengths(const Address& server, std::uint16_t port) const {
    if (!datapath_) {
        return nullptr;
    }
    const auto& stores = datapath_->stores();
    if (!stores.steps_back()) {
        return nullptr;
    }
    auto lengths = stores.lengths(server, port).value_or(steer_lengths{});
    auto text = lengths.connections == 0
                    ? std::string("no connection of ours to it was closed so far")
                    : fmt::format("{} of {} connections were short (below {} KiB and {} ms)",
                                  lengths.short_ones, lengths.connections,
                                  config_.short_connections.bytes >> 10,
                                  config_.short_connections.milliseconds);
    if (lengths.back) {
        text += ": left to TCP until longer ones come";
    }
    return {{"what", "length"}, {"ok", !lengths.back}, {"text", std::move(text)}};
}

Result<json> Session::report_flows() {
    auto flows = namespaces_->flows(
        [this](const Address& address) { return same_host_.addresses.contains(address); },
        datapath_ ? datapath_->stores().connections() : -1);
    if (!flows) {
        return tl::unexpected(flows.error());
    }
    json list = json::array();
    auto all_cgroups = list_cgroups();
    auto pods = find_pod_cgroups(machine_.pods, all_cgroups);
    std::map<std::uint64_t, std::string> cgroups;
    for (auto& cgroup : all_cgroups) {
        cgroups.emplace(cgroup.id, std::move(cgroup.path));
    }
    auto now = monotonic_ns();
    std::uint64_t smcd = 0, direct = 0, tcp = 0;
    auto links = links_ ? links_->inodes() : std::set<std::uint64_t>{};
    for (const auto& [netns, flow] : *flows) {
        if (links.contains(flow.inode) || (direct_ && is_wire(flow.addresses))) {
            continue;
        }
        const auto* moved = direct_ ? direct_->report(flow.inode) : nullptr;
        if (moved && moved->state != Offload::State::moved) {
            moved = nullptr;
        }
        json age;
        if (flow.established_ns && *flow.established_ns <= now) {
            // whole milliseconds
            auto milliseconds = (now - *flow.established_ns) / 1'000'000;
            age = static_cast<double>(milliseconds) / 1000;
        }
        auto workload = cgroups.find(flow.cgroup);
        const Pod* pod = workload == cgroups.end()
                             ? nullptr
                             : pod_of_cgroup(machine_.pods, pods, workload->second);
        smcd += flow.mode == FlowMode::smcd;
        direct += moved != nullptr;
        tcp += !moved && (flow.mode == FlowMode::tcp || flow.mode == FlowMode::fallback);
        list.push_back({
            {"netns", netns},
            {"local", to_string(flow.addresses.local, flow.addresses.local_port)},
            {"peer", to_string(flow.addresses.peer, flow.addresses.peer_port)},
            {"mode", moved ? "direct" : to_string(flow.mode)},
            {"workload", workload == cgroups.end() ? "" : workload->second},
            {"pod", pod ? to_string(*pod) : ""},
            {"bytes_sent", flow.bytes.sent + (moved ? moved->flow.ring_sent : 0)},
            {"bytes_received", flow.bytes.received + (moved ? moved->flow.ring_received : 0)},
            {"ring_sent", moved ? moved->flow.ring_sent : 0},
            {"ring_received", moved ? moved->flow.ring_received : 0},
            {"ring_bytes", moved ? moved->ring : 0},
            {"moved_seconds",
             moved ? json(static_cast<double>((now - moved->since_ns) / 1'000'000) / 1000)
                   : json()},
            {"why_not", direct_ && !moved ? direct_->why_not(flow.inode) : ""},
            {"age_seconds", age},
            {"reason", flow.reason ? reason_code(flow.reason) : ""},
            {"reason_text", reason_text(flow.reason)},
            {"uid", flow.uid},
            {"inode", flow.inode},
        });
    }
    return json{{"flows", std::move(list)},
                {"totals", {{"smcd", smcd}, {"direct", direct}, {"tcp", tcp}}}};
}

}  // namespace smc_steer

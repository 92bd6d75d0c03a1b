// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/tables.h"

#include <algorithm>
#include <cstring>
#include <tuple>

namespace smc_steer {
namespace {

using ScopeKey = std::pair<std::uint32_t, std::uint32_t>;  // workload, peer

struct Stretch {
    std::uint16_t first = 0, last = 0;
    std::uint32_t bits = 0;
};

std::uint32_t bits_of(Action action, Direction direction) {
    std::uint32_t bit = action == Action::allow ? STEER_OUT_ALLOW : STEER_OUT_DENY;
    std::uint32_t bits = 0;
    if (direction != Direction::in) {
        bits |= bit << STEER_OUT;
    }
    if (direction != Direction::out) {
        bits |= bit << STEER_IN;
    }
    return bits;
}

std::uint32_t has_of(WorkloadKind kind) {
    switch (kind) {
        case WorkloadKind::uid:
            return STEER_HAS_UIDS;
        case WorkloadKind::netns:
            return STEER_HAS_NETNS;
        case WorkloadKind::command:
            return STEER_HAS_COMMANDS;
        case WorkloadKind::cgroup:
        case WorkloadKind::unit:
        case WorkloadKind::container:
        case WorkloadKind::pod:
        case WorkloadKind::pod_space:
        case WorkloadKind::label:
            break;
    }
    return STEER_HAS_CGROUPS;
}

// Overlapping stretches in any order -> ordered ones without overlaps, as few as there can be.
void flatten(const std::vector<Stretch>& stretches, std::vector<steer_span>& out) {
    struct Edge {
        std::uint32_t port;
        std::uint32_t bits;
        int change;
    };
    std::vector<Edge> edges;
    edges.reserve(2 * stretches.size());
    for (const auto& s : stretches) {
        edges.push_back({s.first, s.bits, 1});
        edges.push_back({s.last + 1U, s.bits, -1});
    }
    std::sort(edges.begin(), edges.end(),
              [](const Edge& a, const Edge& b) { return a.port < b.port; });

    std::array<int, 4> open{};  // per bit, how many stretches have it here
    std::uint32_t bits = 0, since = 0;
    auto close = [&](std::uint32_t end) {
        if (bits != 0 && since < end) {
            out.push_back(
                {static_cast<std::uint16_t>(since), static_cast<std::uint16_t>(end - 1), bits});
        }
    };
    for (std::size_t i = 0; i < edges.size();) {
        std::uint32_t port = edges[i].port;
        for (; i < edges.size() && edges[i].port == port; i++) {
            for (unsigned bit = 0; bit < open.size(); bit++) {
                open[bit] += (edges[i].bits >> bit & 1) ? edges[i].change : 0;
            }
        }
        std::uint32_t now = 0;
        for (unsigned bit = 0; bit < open.size(); bit++) {
            now |= open[bit] > 0 ? 1U << bit : 0;
        }
        if (now != bits) {
            close(port);
            bits = now;
            since = port;
        }
    }
}

class Compiler {
public:
    explicit Compiler(const Policy& policy) : policy_(policy) {
        tables_.ports = std::make_unique<steer_policy>();
    }

    Result<PolicyTables> run() {
        for (const auto& rule : policy_.rules) {
            number(rule);
        }
        if (auto done = chain_peers(); !done) {
            return tl::unexpected(done.error());
        }
        for (const auto& rule : policy_.rules) {
            if (auto done = spread(rule); !done) {
                return tl::unexpected(done.error());
            }
        }
        lay_out();
        return std::move(tables_);
    }

private:
    struct Peer {
        std::uint32_t id;
        const Rule* rule;  // the first that names it
    };

    void number(const Rule& rule) {
        for (const auto& cidr : rule.peers) {
            peers_.try_emplace(cidr, Peer{static_cast<std::uint32_t>(peers_.size()) + 1, &rule});
        }
        if (!rule.workload) {
            return;
        }
        auto [entry, added] = workloads_.try_emplace(
            *rule.workload, static_cast<std::uint32_t>(workloads_.size()) + 1);
        if (added) {
            tables_.workloads.push_back({*rule.workload, entry->second, false});
        }
        if (rule.action_on(Via::smc) == Action::deny && rule.is_about_sockets()) {
            tables_.workloads[entry->second - 1].never = true;
        }
        tables_.ports->has |= has_of(rule.workload->kind);
    }

    // In the order of the map a network comes directly before those inside it.
    Result<void> chain_peers() {
        if (peers_.size() > STEER_SUBJECTS_MAX) {
            return fail("the rules have {} networks, the datapath has room for {}", peers_.size(),
                        STEER_SUBJECTS_MAX);
        }
        std::vector<std::pair<const Cidr*, std::uint32_t>> around;
        for (const auto& [cidr, peer] : peers_) {
            while (!around.empty() && !around.back().first->contains(cidr)) {
                around.pop_back();
            }
            around.emplace_back(&cidr, peer.id);
            if (around.size() > STEER_CHAIN_MAX) {
                return fail(
                    "{}: peers: {} is inside {} other networks of the rules, the datapath follows "
                    "{}",
                    to_string(peer.rule->origin), to_string(cidr), around.size() - 1,
                    STEER_CHAIN_MAX - 1);
            }
            steer_prefix prefix{static_cast<std::uint32_t>(cidr.length), {}};
            std::copy(cidr.in6.begin(), cidr.in6.end(), prefix.in6);
            steer_chain chain{};
            for (const auto& [network, id] : around) {
                chain.id[chain.count++] = id;
            }
            tables_.peers.emplace_back(prefix, chain);
        }
        if (!peers_.empty()) {
            tables_.ports->has |= STEER_HAS_PEERS;
        }
        return {};
    }

    Result<void> spread(const Rule& rule) {
        std::vector<PortRange> everywhere{{0, 65535}};
        const auto& ports = rule.ports.empty() ? everywhere : rule.ports;
        std::vector<std::uint32_t> peers;
        for (const auto& cidr : rule.peers) {
            peers.push_back(peers_.at(cidr).id);
        }
        if (peers.empty()) {
            peers.push_back(0);
        }
        stretches_ += peers.size() * ports.size();
        // Each makes two spans at most.
        if (stretches_ > STEER_SPANS_MAX / 2) {
            return fail(
                "{}: ports and peers: with this rule the datapath's room for {} pairs of "
                "them is used up",
                to_string(rule.origin), STEER_SPANS_MAX / 2);
        }
        auto bits = bits_of(rule.action_on(Via::smc), rule.direction);
        auto workload = rule.workload ? workloads_.at(*rule.workload) : 0;
        for (auto peer : peers) {
            auto& scope = scopes_[{workload, peer}];
            for (auto range : ports) {
                scope.push_back({range.first, range.last, bits});
            }
        }
        return {};
    }

    void lay_out() {
        auto& table = *tables_.ports;
        table.default_bits = bits_of(policy_.default_action, Direction::both);
        std::vector<steer_span> flat;
        for (const auto& [key, stretches] : scopes_) {
            flat.clear();
            flatten(stretches, flat);
            if (key == ScopeKey{0, 0}) {
                for (const auto& span : flat) {
                    std::memset(table.port + span.first_port, static_cast<int>(span.bits),
                                span.last_port - span.first_port + 1U);
                }
                continue;
            }
            tables_.scopes.push_back({{key.first, key.second},
                                      {static_cast<std::uint32_t>(tables_.spans.size()),
                                       static_cast<std::uint32_t>(flat.size())}});
            tables_.spans.insert(tables_.spans.end(), flat.begin(), flat.end());
        }
        table.port[0] |= bits_of(Action::deny, Direction::both);
    }

    const Policy& policy_;
    PolicyTables tables_;
    std::map<Cidr, Peer> peers_;
    std::map<Workload, std::uint32_t> workloads_;
    std::map<ScopeKey, std::vector<Stretch>> scopes_;
    std::size_t stretches_ = 0;
};

}  // namespace

Result<PolicyTables> compile(const Policy& policy) { return Compiler(policy).run(); }

}  // namespace smc_steer

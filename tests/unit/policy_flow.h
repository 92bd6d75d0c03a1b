// SPDX-License-Identifier: Apache-2.0
// The tables of a policy read as the datapath reads them, and random policies to read.
#ifndef SMC_STEER_TESTS_UNIT_POLICY_FLOW_H
#define SMC_STEER_TESTS_UNIT_POLICY_FLOW_H

#include <cstring>
#include <map>
#include <optional>
#include <random>
#include <set>

#include "agent/policy/members.h"
#include "agent/policy/tables.h"
#include "agent/policy/verdicts.h"

namespace smc_steer {

// One end of a connection as the kernel knows it.
struct Flow {
    Direction way = Direction::out;
    std::uint16_t port = 0;
    In6 peer{};
    std::vector<std::uint64_t> cgroups;  // from the socket's own upwards
    std::uint64_t uid = 0;
    std::uint64_t netns = 0;
};

class TableReader {
public:
    TableReader(const PolicyTables& tables, const Subjects& subjects)
        : tables_(tables), subjects_(subjects) {
        for (const auto& [scope, spans] : tables.scopes) {
            scopes_[{scope.workload, scope.peer}] = spans;
        }
        for (const auto& [prefix, chain] : tables.peers) {
            Cidr cidr{{}, static_cast<int>(prefix.length)};
            std::memcpy(cidr.in6.data(), prefix.in6, 16);
            peers_[cidr] = chain;
        }
    }

    Action verdict(const Flow& flow) const {
        int way = flow.way == Direction::in ? STEER_IN : STEER_OUT;
        std::vector<std::uint32_t> workloads{0}, peers{0};
        for (auto id : flow.cgroups) {
            if (auto chain = subject(STEER_SUBJECT_CGROUP, id)) {
                append(workloads, *chain);
                break;
            }
        }
        for (auto [kind, number] :
             {std::pair{STEER_SUBJECT_UID, flow.uid}, std::pair{STEER_SUBJECT_NETNS, flow.netns}}) {
            if (auto chain = subject(kind, number)) {
                append(workloads, *chain);
            }
        }
        if (auto chain = longest(flow.peer)) {
            append(peers, *chain);
        }
        std::uint32_t bits = tables_.ports->port[flow.port];
        for (auto workload : workloads) {
            for (auto peer : peers) {
                bits |= scope_bits({workload, peer}, flow.port);
            }
        }
        bits >>= way;
        if (!(bits & (STEER_OUT_DENY | STEER_OUT_ALLOW))) {
            bits = tables_.ports->default_bits >> way;
        }
        return bits & STEER_OUT_DENY ? Action::deny : Action::allow;
    }

private:
    std::optional<steer_chain> subject(steer_subject_kind kind, std::uint64_t number) const {
        steer_subject s;
        std::memset(&s, 0, sizeof(s));
        s.kind = kind;
        s.number = number;
        auto entry = subjects_.find(s);
        return entry == subjects_.end() ? std::nullopt : std::optional(entry->second);
    }
    std::optional<steer_chain> longest(const In6& peer) const {
        for (int length = 128; length >= 0; length--) {
            Cidr cidr{peer, length};
            for (int bit = length; bit < 128; bit++) {
                cidr.in6[bit / 8] &= static_cast<std::uint8_t>(~(0x80 >> bit % 8));
            }
            if (auto entry = peers_.find(cidr); entry != peers_.end()) {
                return entry->second;
            }
        }
        return std::nullopt;
    }
    std::uint32_t scope_bits(std::pair<std::uint32_t, std::uint32_t> key,
                             std::uint16_t port) const {
        auto entry = scopes_.find(key);
        if (entry == scopes_.end()) {
            return 0;
        }
        for (std::uint32_t i = 0; i < entry->second.count; i++) {
            const auto& span = tables_.spans.at(entry->second.first + i);
            if (span.first_port <= port && port <= span.last_port) {
                return span.bits;
            }
        }
        return 0;
    }
    static void append(std::vector<std::uint32_t>& ids, const steer_chain& chain) {
        ids.insert(ids.end(), chain.id, chain.id + chain.count);
    }

    const PolicyTables& tables_;
    const Subjects& subjects_;
    std::map<std::pair<std::uint32_t, std::uint32_t>, steer_spans> scopes_;
    std::map<Cidr, steer_chain> peers_;
};

// Policies and flows from few values, so that they meet.
class RandomPolicy {
public:
    explicit RandomPolicy(unsigned seed) : random_(seed) {}

    std::uint32_t below(std::uint32_t n) { return static_cast<std::uint32_t>(random_() % n); }

    Policy policy(std::uint32_t most) {
        Policy policy;
        policy.default_action = below(2) ? Action::allow : Action::deny;
        for (auto n = below(most) + 1; n > 0; n--) {
            policy.rules.push_back(rule());
        }
        return policy;
    }

    Rule rule() {
        Rule rule;
        rule.action = below(2) ? Action::allow : Action::deny;
        rule.direction = static_cast<Direction>(below(3));
        rule.origin = {"random", 1};
        for (auto n = below(3); n > 0; n--) {
            auto a = port(), b = port();
            rule.ports.push_back({std::max<std::uint16_t>(std::min(a, b), 1),
                                  std::max<std::uint16_t>(std::max(a, b), 1)});
        }
        for (auto n = below(3); n > 0; n--) {
            rule.peers.push_back(network());
        }
        if (below(2) || (rule.ports.empty() && rule.peers.empty())) {
            rule.workload = workload();
        }
        if (rule.action == Action::allow && below(4) == 0) {
            rule.via = below(2) ? Via::smc : Via::direct;
        }
        return rule;
    }

    Flow flow() {
        Flow flow;
        flow.way = below(2) ? Direction::in : Direction::out;
        flow.port = port();
        flow.peer = address();
        flow.uid = below(4);
        flow.netns = 100 + below(3);
        auto leaf = below(kCgroups.size());
        for (std::string path = kCgroups[leaf]; !path.empty();
             path = path.substr(0, path.rfind('/'))) {
            flow.cgroups.push_back(id_of(path));
            if (path == "/") {
                return flow;
            }
        }
        flow.cgroups.push_back(id_of("/"));
        return flow;
    }

    static Machine machine() {
        Machine machine;
        for (const auto& path : kCgroups) {
            machine.cgroups.push_back({path, id_of(path)});
        }
        machine.netns = {{"blue", 100}, {"red", 101}};
        return machine;
    }

    // What belongs to what, told once more and the slow way.
    static bool is_of(const Flow& flow, const Workload& workload) {
        switch (workload.kind) {
            case WorkloadKind::uid:
                return workload.value == std::to_string(flow.uid);
            case WorkloadKind::netns:
                return workload.value == (flow.netns == 100   ? "blue"
                                          : flow.netns == 101 ? "red"
                                                              : "");
            case WorkloadKind::command:
                return false;
            default:
                break;
        }
        for (auto id : flow.cgroups) {
            if (names_cgroup(workload, kCgroups.at(id - 1))) {
                return true;
            }
        }
        return false;
    }

private:
    static std::uint64_t id_of(const std::string& path) {
        for (std::size_t i = 0; i < kCgroups.size(); i++) {
            if (kCgroups[i] == path) {
                return i + 1;
            }
        }
        return 0;
    }
    std::uint16_t port() {
        static constexpr std::uint16_t kEdges[] = {0, 1, 2, 79, 80, 81, 443, 65534, 65535};
        return below(4) ? kEdges[below(std::size(kEdges))]
                        : static_cast<std::uint16_t>(below(65536));
    }
    In6 address() {
        In6 in6 = *parse_in6(below(2) ? "10.0.0.0" : "fd00::");
        in6[15] = static_cast<std::uint8_t>(below(4));
        in6[12] ^= static_cast<std::uint8_t>(below(2));
        in6[13] = static_cast<std::uint8_t>(below(2) << 7);
        return in6;
    }
    Cidr network() {
        Cidr cidr{address(), 0};
        static constexpr int kLengths[] = {0, 8, 96, 97, 104, 105, 120, 126, 127, 128};
        cidr.length = kLengths[below(std::size(kLengths))];
        for (int bit = cidr.length; bit < 128; bit++) {
            cidr.in6[bit / 8] &= static_cast<std::uint8_t>(~(0x80 >> bit % 8));
        }
        return cidr;
    }
    Workload workload() {
        switch (below(5)) {
            case 0:
                return {WorkloadKind::uid, std::to_string(below(3))};
            case 1:
                return {WorkloadKind::netns, below(2) ? "blue" : "red"};
            case 2:
                return {WorkloadKind::unit, "web.service"};
            case 3:
                return {WorkloadKind::container, "0123456789abcdef"};
            default: {
                static const char* kPaths[] = {"/", "/a", "/a/*", "/*/c", "/a/b/c", "/x"};
                return {WorkloadKind::cgroup, kPaths[below(std::size(kPaths))]};
            }
        }
    }

    inline static const std::vector<std::string> kCgroups{"/",
                                                          "/a",
                                                          "/d",
                                                          "/a/b",
                                                          "/a/web.service",
                                                          "/d/docker-0123456789abcdef.scope",
                                                          "/a/b/c",
                                                          "/d/docker-0123456789abcdef.scope/c",
                                                          "/a/web.service/c"};
    std::mt19937 random_;
};

}  // namespace smc_steer

#endif  // SMC_STEER_TESTS_UNIT_POLICY_FLOW_H

// SPDX-License-Identifier: Apache-2.0
// The rules in the kernel: do they mean there what they mean in the files, what does one look
// cost, is a change of them one step?
//
//   policy_probe agree POLICIES     random policies, each asked 40 times
//   policy_probe cost RULES         nanoseconds per look and milliseconds to load
//   policy_probe swap SECONDS       two policies take turns while it is asked
//   policy_probe scarce MOST        a change with none to MOST descriptors to be had
//
// One JSON object on stdout; exit code 1 and a line on stderr when something is wrong.
#include "tests/bpf/policy_probe.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "agent/base/unique_fd.h"
#include "agent/kernel/bpf_object.h"
#include "agent/kernel/stores.h"
#include "agent/policy/policy_file.h"
#include "policy_probe.skel.h"
#include "tests/unit/policy_flow.h"

namespace smc_steer {
namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void die(const std::string& message) {
    fmt::print(stderr, "policy_probe: {}\n", message);
    std::exit(1);
}

template <typename T>
T need(Result<T> result) {
    if (!result) {
        die(result.error().message);
    }
    return std::move(*result);
}
void need(const Result<void>& result) {
    if (!result) {
        die(result.error().message);
    }
}

double ms_since(Clock::time_point then) {
    return std::chrono::duration<double, std::milli>(Clock::now() - then).count();
}

struct Kernel {
    BpfObject object;
    Stores stores;
    int program;
};

Kernel load() {
    std::size_t size = 0;
    const void* bytes = ::policy_probe::elf_bytes(&size);
    auto object = need(BpfObject::open("policy_probe", bytes, size));
    SharedMaps maps;
    need(object.load(maps));
    auto stores = need(Stores::open(maps));
    int program = bpf_program__fd(object.programs().at(0));
    return {std::move(object), std::move(stores), program};
}

struct Look {
    unsigned verdict;
    unsigned ns;  // on average
};

Look look(int program, const Flow& flow, int repeat = 1) {
    struct {
        unsigned char header[PROBE_OFFSET];
        probe_flow flow;
    } __attribute__((packed)) packet{};
    std::memcpy(packet.flow.peer, flow.peer.data(), flow.peer.size());
    packet.flow.way = flow.way == Direction::in ? STEER_IN : STEER_OUT;
    packet.flow.port = flow.port;
    packet.flow.uid = flow.uid;
    packet.flow.netns = flow.netns;
    for (std::size_t i = 0; i < flow.cgroups.size() && i < PROBE_CGROUPS; i++) {
        packet.flow.cgroup[i] = flow.cgroups[i];
    }
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = &packet, .data_size_in = sizeof(packet),
                .repeat = repeat);
    if (bpf_prog_test_run_opts(program, &options) != 0) {
        die(fmt::format("BPF_PROG_TEST_RUN: {}", std::strerror(errno)));
    }
    return {options.retval, options.duration};
}

void put(Stores& stores, const Policy& policy, const Machine& machine = {}) {
    auto tables = need(compile(policy));
    need(stores.set_policy(tables, members(tables.workloads, machine)));
}

int agree(unsigned policies) {
    auto kernel = load();
    auto machine = RandomPolicy::machine();
    unsigned denied = 0, asked = 0;
    for (unsigned seed = 1; seed <= policies; seed++) {
        RandomPolicy random(seed);
        auto policy = random.policy(12);
        put(kernel.stores, policy, machine);
        for (int i = 0; i < 40; i++, asked++) {
            auto flow = random.flow();
            Connection connection{flow.way, flow.port, flow.peer, [&flow](const Workload& w) {
                                      return RandomPolicy::is_of(flow, w);
                                  }};
            bool allowed = explain(policy, connection, Via::smc).action == Action::allow;
            auto got = look(kernel.program, flow).verdict;
            if (got != static_cast<unsigned>(allowed)) {
                die(fmt::format("seed {}, flow {}: the kernel says {}, the rules {}:\n{}", seed, i,
                                got, allowed, format_policy_file(policy.rules)));
            }
            denied += !allowed;
        }
    }
    fmt::print("{{\"asked\": {}, \"denied\": {}}}\n", asked, denied);
    return 0;
}

// Rules of all kinds about peers and ports; `flow` meets one of the last.
Policy many_rules(unsigned count, Flow& flow) {
    Policy policy;
    for (unsigned i = 0; i < count; i++) {
        auto high = static_cast<std::uint8_t>(i >> 8), low = static_cast<std::uint8_t>(i);
        auto port = static_cast<std::uint16_t>(1000 + i);
        Rule rule{i % 2 ? Action::deny : Action::allow, {{port, port}}, "", {}};
        if (i % 4 != 0) {
            rule.peers = {need(parse_cidr(fmt::format("10.{}.{}.0/24", high, low)))};
        }
        if (i % 16 == 1) {
            rule.ports = {{port, static_cast<std::uint16_t>(port + 500)}};
            rule.workload = Workload{WorkloadKind::uid, std::to_string(i)};
        }
        policy.rules.push_back(std::move(rule));
        if (i % 16 == 1) {
            flow.uid = i;
            flow.port = port;
            flow.peer = need(parse_in6(fmt::format("10.{}.{}.9", high, low)));
        }
    }
    return policy;
}

int cost(unsigned rules) {
    auto kernel = load();
    Flow flow;
    auto policy = many_rules(rules, flow);
    auto text = format_policy_file(policy.rules);
    auto began = Clock::now();
    auto file = need(parse_policy_file(text, "many"));
    double parse_ms = ms_since(began);
    auto merged = need(merge(NamedPolicyFile{"many", file}, {}));
    auto compiling = Clock::now();
    auto tables = need(compile(merged));
    double compile_ms = ms_since(compiling);
    auto storing = Clock::now();
    need(kernel.stores.set_policy(tables, members(tables.workloads, {})));
    double store_ms = ms_since(storing);
    // The least of many short ones: the machine has other things to do.
    unsigned hit = ~0U, miss = ~0U;
    Flow other = flow;
    other.peer = need(parse_in6("172.16.0.1"));
    if (look(kernel.program, flow).verdict != 0 || look(kernel.program, other).verdict != 1) {
        die("the rules say something else than was written");
    }
    for (int i = 0; i < 300; i++) {
        hit = std::min(hit, look(kernel.program, flow, 500).ns);
        miss = std::min(miss, look(kernel.program, other, 500).ns);
    }
    fmt::print(
        "{{\"rules\": {}, \"bytes\": {}, \"parse_ms\": {:.1f}, \"compile_ms\": {:.1f}, "
        "\"store_ms\": {:.1f}, \"hit_ns\": {}, \"miss_ns\": {}}}\n",
        rules, text.size(), parse_ms, compile_ms, store_ms, hit, miss);
    return 0;
}

// What swap() and scarce() ask about, over and over.
Flow one_flow() {
    Flow flow;
    flow.port = 80;
    flow.uid = 7;
    flow.peer = need(parse_in6("10.0.0.1"));
    return flow;
}

// Both policies deny the flow, each by another map (peers, workloads), and a mixture of their
// halves would allow it.
int swap(unsigned seconds) {
    auto kernel = load();
    const Flow flow = one_flow();
    Policy by_peer, by_workload;
    by_peer.rules.push_back({Action::deny, {{80, 80}}, "", {}});
    by_workload.rules = by_peer.rules;
    by_peer.rules[0].peers = {need(parse_cidr("10.0.0.0/8"))};
    by_workload.rules[0].workload = Workload{WorkloadKind::uid, "7"};
    // What must not be mistaken for the other's id 1.
    by_workload.rules.push_back(by_workload.rules[0]);
    by_workload.rules[1].workload->value = "8";
    put(kernel.stores, by_peer);

    std::atomic<bool> done{false};
    std::atomic<unsigned> swaps{0};
    std::thread changer([&] {
        while (!done) {
            put(kernel.stores, by_workload);
            put(kernel.stores, by_peer);
            swaps += 2;
        }
    });
    unsigned long looks = 0, wrong = 0;
    auto until = Clock::now() + std::chrono::seconds(seconds);
    while (Clock::now() < until) {
        wrong += look(kernel.program, flow).verdict != 0;
        looks++;
    }
    done = true;
    changer.join();
    if (wrong != 0) {
        die(fmt::format("{} of {} looks saw half of one policy and half of the other", wrong,
                        looks));
    }
    fmt::print("{{\"looks\": {}, \"swaps\": {}}}\n", looks, swaps.load());
    return 0;
}

// A change that fails leaves the old rules, one that says nothing has put the new ones in force.
int scarce(unsigned most) {
    auto kernel = load();
    const Flow flow = one_flow();
    Policy denies, allows;
    denies.rules.push_back({Action::deny, {{80, 80}}, "", {}});
    denies.rules[0].peers = {need(parse_cidr("10.0.0.0/8"))};
    allows.rules = denies.rules;
    allows.rules[0].action = Action::allow;

    rlimit all{};
    getrlimit(RLIMIT_NOFILE, &all);
    unsigned failed = 0, done = 0;
    for (unsigned more = 0; more <= most; more++) {
        for (const auto* policy : {&allows, &denies}) {
            put(kernel.stores, policy == &allows ? denies : allows);
            auto tables = need(compile(*policy));
            auto subjects = members(tables.workloads, {});
            UniqueFd next(open("/dev/null", O_RDONLY | O_CLOEXEC));
            rlimit few{static_cast<rlim_t>(next.get()) + more, all.rlim_max};
            next.reset();
            setrlimit(RLIMIT_NOFILE, &few);
            auto changed = kernel.stores.set_policy(tables, subjects);
            setrlimit(RLIMIT_NOFILE, &all);
            (changed ? done : failed)++;
            const bool allow = look(kernel.program, flow).verdict != 0;
            if (allow != ((policy == &allows) == changed.has_value())) {
                die(fmt::format("{} descriptors: a change {}, and the kernel has the {} rules",
                                more, changed ? "was made" : "failed: " + changed.error().message,
                                changed ? "old" : "new"));
            }
        }
    }
    fmt::print("{{\"failed\": {}, \"done\": {}}}\n", failed, done);
    return 0;
}

int run(int argc, char** argv) {
    if (argc != 3) {
        die("agree POLICIES, cost RULES, swap SECONDS or scarce MOST");
    }
    bpf_log_init();
    std::string what = argv[1];
    auto count = static_cast<unsigned>(std::stoul(argv[2]));
    if (what == "agree") {
        return agree(count);
    }
    if (what == "cost") {
        return cost(count);
    }
    if (what == "swap") {
        return swap(count);
    }
    if (what == "scarce") {
        return scarce(count);
    }
    die("no such word: " + what);
}

}  // namespace
}  // namespace smc_steer

int main(int argc, char** argv) { return smc_steer::run(argc, argv); }

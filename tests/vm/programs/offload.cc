// SPDX-License-Identifier: Apache-2.0
// offload: attaches tcp_ivpci to TCP connections and detaches it again
// (include/smc_steer/direct_abi.h).
//
//   offload attach|detach|look FIRST-LAST     all connections of these ports, either end; once
//   offload loop HOLD PAUSE FIRST-LAST        attaches to all of them, waits HOLD ms, detaches,
//   waits
//                                             PAUSE ms, until told to end
//   offload random HOLD FIRST-LAST            every HOLD ms attaches to or detaches from each, as
//   it falls offload counters
//
// Prints one JSON object in the end: what the module has counted, and for attach, detach and look
// how many connections there were and in which state they are. Once "running" was printed, SIGTERM
// ends it.
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string_view>
#include <vector>

#include "smc_steer/direct_abi.h"

namespace {

constexpr const char* kReasons[] = {"none",          "not_established", "not_accepted",
                                    "of_the_kernel", "other_protocol",  "in_repair",
                                    "already",       "locked",          "asked"};
static_assert(sizeof(kReasons) / sizeof(*kReasons) == DIRECT_REASONS);

volatile sig_atomic_t ended = 0;

struct Ports {
    unsigned first;
    unsigned last;
    bool has(__be16 port) const { return ntohs(port) >= first && ntohs(port) <= last; }
};

[[noreturn]] void die(const char* what) {
    std::fprintf(stderr, "offload: %s: %s\n", what, std::strerror(errno));
    std::exit(3);
}

direct_request request_for(const inet_diag_msg& told) {
    direct_request request{};
    request.fd = request.net = -1;
    request.family = told.idiag_family;
    request.local_port = told.id.idiag_sport;
    request.remote_port = told.id.idiag_dport;
    const auto* local = reinterpret_cast<const uint8_t*>(told.id.idiag_src);
    const auto* remote = reinterpret_cast<const uint8_t*>(told.id.idiag_dst);
    // IPv4 on a socket of IPv6 is IPv4 to the kernel's tables.
    size_t skip = 0;
    if (told.idiag_family == AF_INET6 &&
        IN6_IS_ADDR_V4MAPPED(reinterpret_cast<const in6_addr*>(remote))) {
        request.family = AF_INET;
        skip = 12;
    }
    const size_t length = request.family == AF_INET ? 4 : 16;
    std::memcpy(request.local, local + skip, length);
    std::memcpy(request.remote, remote + skip, length);
    return request;
}

// Established connections of the ports, each end by itself.
std::vector<direct_request> connections(int netlink, const Ports& ports, uint8_t family) {
    struct {
        nlmsghdr header;
        inet_diag_req_v2 request;
    } ask{};
    ask.header.nlmsg_len = sizeof(ask);
    ask.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
    ask.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    ask.request.sdiag_family = family;
    ask.request.sdiag_protocol = IPPROTO_TCP;
    ask.request.idiag_states = 1 << TCP_ESTABLISHED;
    if (send(netlink, &ask, sizeof(ask), 0) < 0) {
        die("sock_diag");
    }
    std::vector<direct_request> found;
    alignas(nlmsghdr) static char buffer[1 << 16];
    for (;;) {
        ssize_t got = recv(netlink, buffer, sizeof(buffer), 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            die("sock_diag");
        }
        for (auto* header = reinterpret_cast<nlmsghdr*>(buffer); NLMSG_OK(header, got);
             header = NLMSG_NEXT(header, got)) {
            if (header->nlmsg_type == NLMSG_DONE || header->nlmsg_type == NLMSG_ERROR) {
                return found;
            }
            const auto* told = static_cast<const inet_diag_msg*>(NLMSG_DATA(header));
            if (ports.has(told->id.idiag_sport) || ports.has(told->id.idiag_dport)) {
                found.push_back(request_for(*told));
            }
        }
    }
}

std::vector<direct_request> connections(int netlink, const Ports& ports) {
    auto all = connections(netlink, ports, AF_INET);
    const auto six = connections(netlink, ports, AF_INET6);
    all.insert(all.end(), six.begin(), six.end());
    return all;
}

// One that is gone meanwhile, or has a reason, is left alone.
void act(int device, unsigned long how, direct_request* one) {
    if (ioctl(device, DIRECT_IDENTIFY, one) == 0 && ioctl(device, how, one) < 0 &&
        errno != ENOENT && errno != EBUSY) {
        die("request");
    }
}

void print_counters(int device) {
    direct_counters now{};
    if (ioctl(device, DIRECT_COUNTERS, &now) < 0) {
        die("counters");
    }
    const auto print = [](const char* name, uint64_t value) {
        std::printf("\"%s\": %llu, ", name, static_cast<unsigned long long>(value));
    };
    print("attached", now.attached);
    print("detached", now.detached);
    print("closed", now.closed);
    print("yielded", now.yielded);
    print("clean_sending", now.clean_sending);
    print("clean_receiving", now.clean_receiving);
    print("rounds", now.rounds);
    print("strangers", now.strangers);
    std::printf("\"refused\": {");
    for (unsigned reason = 1; reason < DIRECT_REASONS; reason++) {
        std::printf("%s\"%s\": %llu", reason > 1 ? ", " : "", kReasons[reason],
                    static_cast<unsigned long long>(now.refused[reason]));
    }
    std::printf("}");
}

bool parse(const char* text, Ports* ports) {
    return std::sscanf(text, "%u-%u", &ports->first, &ports->last) == 2;
}

int once(int device, int netlink, unsigned long how, const Ports& ports) {
    unsigned count = 0, attached = 0, sending = 0, receiving = 0;
    for (direct_request& one : connections(netlink, ports)) {
        act(device, how, &one);
        count++;
        attached += (one.state & DIRECT_ATTACHED) != 0;
        sending += (one.state & DIRECT_CLEAN_SENDING) != 0;
        receiving += (one.state & DIRECT_CLEAN_RECEIVING) != 0;
    }
    std::printf(
        "{\"connections\": %u, \"now\": {\"attached\": %u, \"clean_sending\": %u, "
        "\"clean_receiving\": %u}, ",
        count, attached, sending, receiving);
    print_counters(device);
    std::puts("}");
    return 0;
}

void run(int device, int netlink, const Ports& ports, int hold, int pause, bool at_random) {
    std::mt19937 random(1);
    std::puts("running");
    std::fflush(stdout);
    while (!ended) {
        for (direct_request& one : connections(netlink, ports)) {
            act(device, at_random && random() % 2 ? DIRECT_DETACH : DIRECT_ATTACH, &one);
        }
        usleep(hold * 1000);
        if (!at_random) {
            ioctl(device, DIRECT_DETACH_ALL);
            usleep(pause * 1000);
        }
    }
    ioctl(device, DIRECT_DETACH_ALL);
    std::printf("{");
    print_counters(device);
    std::puts("}");
}

// Ahead of everybody else who wants to run: what is measured is what the kernel waits for.
int unload() {
    const sched_param first{1};
    sched_setscheduler(0, SCHED_FIFO, &first);
    timespec began{}, now{};
    clock_gettime(CLOCK_MONOTONIC, &began);
    if (syscall(SYS_delete_module, "tcp_ivpci", O_NONBLOCK) < 0) {
        die("delete_module");
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    std::printf("{\"ms\": %lld}\n",
                (now.tv_sec - began.tv_sec) * 1000LL + (now.tv_nsec - began.tv_nsec) / 1000000);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    const std::string_view mode = argc > 1 ? argv[1] : "";
    Ports ports{};
    if (mode == "unload" && argc == 2) {
        return unload();
    }
    const int device = open("/dev/tcp_ivpci", O_RDWR | O_CLOEXEC);
    if (device < 0) {
        die("/dev/tcp_ivpci");
    }
    const int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (netlink < 0) {
        die("sock_diag");
    }
    signal(SIGTERM, [](int) { ended = 1; });
    if (mode == "counters" && argc == 2) {
        std::printf("{");
        print_counters(device);
        std::puts("}");
        return 0;
    }
    if (argc == 3 && parse(argv[2], &ports)) {
        if (mode == "attach") return once(device, netlink, DIRECT_ATTACH, ports);
        if (mode == "detach") return once(device, netlink, DIRECT_DETACH, ports);
        if (mode == "look") return once(device, netlink, DIRECT_LOOK, ports);
    }
    if (mode == "loop" && argc == 5 && parse(argv[4], &ports)) {
        run(device, netlink, ports, std::atoi(argv[2]), std::atoi(argv[3]), false);
        return 0;
    }
    if (mode == "random" && argc == 4 && parse(argv[3], &ports)) {
        run(device, netlink, ports, std::atoi(argv[2]), 0, true);
        return 0;
    }
    std::fprintf(stderr,
                 "usage: offload attach|detach|look FIRST-LAST | loop HOLD PAUSE FIRST-LAST | "
                 "random HOLD FIRST-LAST | counters | unload\n");
    return 2;
}

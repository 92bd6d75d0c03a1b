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
#include "tests/vm/programs/offload.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <random>
#include <string_view>

namespace {

constexpr const char* kReasons[] = {
    "none",      "not_established", "not_accepted", "of_the_kernel", "other_protocol", "in_repair",
    "already",   "locked",          "asked",        "not_attached",  "not_clean",      "no_driver",
    "no_memory", "has_rings",       "no_ring",      "options",       "unread",         "no_peer"};
static_assert(sizeof(kReasons) / sizeof(*kReasons) == DIRECT_REASONS);

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
    print("made", now.made);
    print("returned", now.returned);
    print("lies", now.lies);
    print("ring_sent", now.flow.ring_sent);
    print("tcp_sent", now.flow.tcp_sent);
    print("ring_received", now.flow.ring_received);
    print("tcp_received", now.flow.tcp_received);
    print("records", now.flow.records);
    print("signals", now.flow.signals);
    print("room_signals", now.flow.room_signals);
    print("moves", now.flow.moves);
    print("repeats", now.flow.repeats);
    print("full", now.flow.full);
    std::printf("\"refused\": {");
    for (unsigned reason = 1; reason < DIRECT_REASONS; reason++) {
        std::printf("%s\"%s\": %llu", reason > 1 ? ", " : "", kReasons[reason],
                    static_cast<unsigned long long>(now.refused[reason]));
    }
    std::printf("}");
}

int once(int device, int netlink, unsigned long how, const Ports& ports) {
    unsigned count = 0, attached = 0, sending = 0, receiving = 0, moved = 0;
    for (direct_request& one : connections(netlink, ports)) {
        act(device, how, &one);
        count++;
        attached += (one.state & DIRECT_ATTACHED) != 0;
        sending += (one.state & DIRECT_CLEAN_SENDING) != 0;
        receiving += (one.state & DIRECT_CLEAN_RECEIVING) != 0;
        moved += (one.state & DIRECT_MOVED) != 0;
    }
    std::printf(
        "{\"connections\": %u, \"now\": {\"attached\": %u, \"clean_sending\": %u, "
        "\"clean_receiving\": %u, \"moved\": %u}, ",
        count, attached, sending, receiving, moved);
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
int unload(const char* module) {
    const sched_param first{1};
    sched_setscheduler(0, SCHED_FIFO, &first);
    timespec began{}, now{};
    clock_gettime(CLOCK_MONOTONIC, &began);
    if (syscall(SYS_delete_module, module, O_NONBLOCK) < 0) {
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
    if (mode == "unload" && (argc == 2 || argc == 3)) {
        return unload(argc == 3 ? argv[2] : "tcp_ivpci");
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
                 "random HOLD FIRST-LAST | counters | unload [MODULE]\n");
    return 2;
}

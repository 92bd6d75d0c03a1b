// SPDX-License-Identifier: Apache-2.0
// mover: moves TCP connections between two guests onto rings of shared memory and back, from both
// ends (include/smc_steer/direct_abi.h). The two talk over a TCP connection of their own.
//
//   mover serve PORT HOW HOLD
//   mover run HOST PORT HOW HOLD SIZE FIRST-LAST    all connections of these ports
//
// SIZE: of a ring, in KiB. Every HOLD ms each end does with each of its connections what HOW says:
//   stay      it is moved, and stays so
//   random    it is moved, or goes by TCP, as it falls; one time in 170 its rings are given back,
//             one in 512 it is detached from
//   toggle    it is moved, and the next time its rings are given back
//
// "running" is printed when it has begun. SIGTERM ends it: everything is given back.
#include <fcntl.h>
#include <netdb.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <mutex>
#include <random>
#include <string>
#include <string_view>
#include <thread>

#include "tests/vm/programs/offload.h"

namespace {

struct Member {
    unsigned slot = 0;
    unsigned generation = 0;
};

struct Question {
    uint32_t what;  // 0: attach, 1: make and connect
    uint32_t size;
    direct_request connection;  // as the other end names it
    uint64_t token;
};

struct Answer {
    uint32_t ok;
    uint64_t token;
};

struct Known {
    direct_request connection;
    bool moved = false;
};

int device = -1;
std::mutex lock;  // of `known`
std::vector<Known> known;

bool same(const direct_request& one, const direct_request& other) {
    return one.first_sent == other.first_sent && one.first_received == other.first_received &&
           one.local_port == other.local_port && one.remote_port == other.remote_port;
}

Member peer() {
    const std::string directory = "/sys/class/misc/ivpci0/";
    unsigned own = 0;
    std::ifstream(directory + "slot") >> own;
    std::ifstream members(directory + "members");
    Member member;
    std::string gid;
    while (members >> member.slot >> member.generation >> gid) {
        if (member.slot != own) {
            return member;
        }
    }
    return {};
}

bool request(unsigned long what, direct_request* connection) {
    return ioctl(device, what, connection) == 0;
}

bool request(unsigned long what, direct_rings* rings) { return ioctl(device, what, rings) == 0; }

direct_rings rings_of(const direct_request& connection) {
    direct_rings rings{};
    rings.connection = connection;
    return rings;
}

bool clean(direct_request* one) {
    constexpr uint32_t kClean = DIRECT_CLEAN_SENDING | DIRECT_CLEAN_RECEIVING;
    return request(DIRECT_LOOK, one) && (one->state & kClean) == kClean;
}

// Attached to and clean, now or soon.
bool ready(direct_request* one) {
    if (!request(DIRECT_LOOK, one)) {
        return false;
    }
    if (!(one->state & DIRECT_ATTACHED)) {
        request(DIRECT_ATTACH, one);
    }
    return clean(one);
}

bool make(direct_rings* rings, uint32_t size) {
    const Member member = peer();
    rings->slot = member.slot;
    rings->generation = member.generation;
    rings->size = size;
    return request(DIRECT_MAKE, rings);
}

void give_back(const direct_request& connection) {
    direct_rings rings = rings_of(connection);
    request(DIRECT_RETURN, &rings);
}

void add(const direct_request& connection) {
    const std::lock_guard<std::mutex> guard(lock);
    if (std::none_of(known.begin(), known.end(),
                     [&](const Known& one) { return same(one.connection, connection); })) {
        known.push_back({connection, false});
    }
}

bool near(uint32_t one, uint32_t other) { return one - other + 1 <= 2; }

// What the other end named, as this end's kernel names it. That what was sent first and what was
// received first are the same byte is so but for the SYN, which one end may count.
bool find(const direct_request& theirs, direct_request* found) {
    direct_request& ours = *found = theirs;
    std::swap(ours.local_port, ours.remote_port);
    std::swap(ours.local, ours.remote);
    ours.fd = ours.net = -1;
    ours.unused = 0;
    return request(DIRECT_IDENTIFY, &ours) && near(ours.first_sent, theirs.first_received) &&
           near(ours.first_received, theirs.first_sent);
}

bool transfer(int fd, void* data, size_t length, bool out) {
    auto* at = static_cast<char*>(data);
    while (length) {
        const ssize_t done = out ? send(fd, at, length, MSG_NOSIGNAL) : recv(fd, at, length, 0);
        if (done <= 0) {
            return false;
        }
        at += done;
        length -= done;
    }
    return true;
}

Answer answer(const Question& question) {
    direct_request ours{};
    if (!find(question.connection, &ours) || !ready(&ours)) {
        return {};
    }
    if (question.what == 0) {
        return {1, 0};
    }
    direct_rings rings = rings_of(ours);
    if (!make(&rings, question.size)) {
        return {};
    }
    const uint64_t own = rings.token;
    rings.token = question.token;
    if (!request(DIRECT_CONNECT, &rings)) {
        give_back(ours);
        return {};
    }
    add(ours);
    return {1, own};
}

Answer ask(int peer, uint32_t what, const direct_request& connection, uint32_t size,
           uint64_t token) {
    Question question{what, size, connection, token};
    Answer answer{};
    if (!transfer(peer, &question, sizeof(question), true) ||
        !transfer(peer, &answer, sizeof(answer), false)) {
        ended = 1;
        return {};
    }
    return answer;
}

void pair(int peer, direct_request one, uint32_t size) {
    if (!request(DIRECT_IDENTIFY, &one)) {
        return;
    }
    const bool clean_here = ready(&one);
    if (one.state & DIRECT_RINGS) {
        return;
    }
    if (!ask(peer, 0, one, 0, 0).ok || !clean_here) {
        return;
    }
    direct_rings rings = rings_of(one);
    if (!make(&rings, size)) {
        return;
    }
    const Answer told = ask(peer, 1, one, size, rings.token);
    rings.token = told.token;
    if (!told.ok || !request(DIRECT_CONNECT, &rings)) {
        give_back(one);
        return;
    }
    add(one);
}

// What HOW says; false: it is gone.
bool act(Known* one, std::string_view how, std::mt19937* random) {
    direct_rings rings = rings_of(one->connection);
    if (how == "stay") {
        return request(DIRECT_MOVE, &rings);
    }
    if (how == "toggle") {
        one->moved = !one->moved;
        return request(one->moved ? DIRECT_MOVE : DIRECT_RETURN, &rings);
    }
    const unsigned dice = (*random)() % 512;
    if (dice == 0) {
        direct_request connection = one->connection;
        return !request(DIRECT_DETACH, &connection);
    }
    if (dice < 4) {
        request(DIRECT_RETURN, &rings);
        return false;
    }
    return request(dice % 2 ? DIRECT_MOVE : DIRECT_BACK, &rings);
}

void act_on_all(std::string_view how, std::mt19937* random) {
    const std::lock_guard<std::mutex> guard(lock);
    known.erase(std::remove_if(known.begin(), known.end(),
                               [&](Known& one) { return !act(&one, how, random); }),
                known.end());
}

int serve(const char* port, std::string_view how, int hold) {
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(std::atoi(port));
    if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)) < 0 ||
        listen(listener, 1) < 0) {
        die("bind");
    }
    std::puts("running");
    std::fflush(stdout);
    std::thread([listener] {
        for (;;) {
            const int peer = accept(listener, nullptr, nullptr);
            Question question{};
            while (transfer(peer, &question, sizeof(question), false)) {
                Answer told = answer(question);
                if (!transfer(peer, &told, sizeof(told), true)) {
                    break;
                }
            }
            close(peer);
        }
    }).detach();
    std::mt19937 random(2);
    while (!ended) {
        act_on_all(how, &random);
        usleep(hold * 1000);
    }
    return 0;
}

int run(const char* host, const char* port, std::string_view how, int hold, uint32_t size,
        const Ports& ports, int netlink) {
    addrinfo hints{}, *found = nullptr;
    hints.ai_socktype = SOCK_STREAM;
    if (getaddrinfo(host, port, &hints, &found) != 0) {
        die(host);
    }
    const int peer = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(peer, found->ai_addr, found->ai_addrlen) < 0) {
        die("connect");
    }
    const int on = 1;
    setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    std::puts("running");
    std::fflush(stdout);
    std::mt19937 random(1);
    while (!ended) {
        for (const direct_request& one : connections(netlink, ports)) {
            pair(peer, one, size);
        }
        act_on_all(how, &random);
        usleep(hold * 1000);
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    const std::string_view mode = argc > 1 ? argv[1] : "";
    Ports ports{};
    int rc = 2;
    device = open("/dev/tcp_ivpci", O_RDWR | O_CLOEXEC);
    if (device < 0) {
        die("/dev/tcp_ivpci");
    }
    const int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    const sched_param first{1};
    sched_setscheduler(0, SCHED_FIFO, &first);  // threads, too: what they move is at work
    signal(SIGTERM, [](int) { ended = 1; });
    if (mode == "serve" && argc == 5) {
        rc = serve(argv[2], argv[3], std::atoi(argv[4]));
    } else if (mode == "run" && argc == 8 && parse(argv[7], &ports)) {
        rc = run(argv[2], argv[3], argv[4], std::atoi(argv[5]), std::atoi(argv[6]) * 1024, ports,
                 netlink);
    } else {
        std::fprintf(stderr,
                     "usage: mover serve PORT stay|random|toggle HOLD | "
                     "run HOST PORT stay|random|toggle HOLD SIZE FIRST-LAST\n");
        return rc;
    }
    ioctl(device, DIRECT_DETACH_ALL);
    std::puts("ended");
    return rc;
}

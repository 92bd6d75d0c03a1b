// SPDX-License-Identifier: Apache-2.0
// broker_joins MEMBERS ROUNDS SOCKET...: fake members join the regions at the sockets, in turn;
// then, ROUNDS times, the one that is there longest leaves and another comes. A join is what a
// guest's is: connecting, the introduction with all doorbells, JOIN and its answer. Prints JSON:
// seconds for the first MEMBERS joins and for the ROUNDS others.
#include <cstdio>
#include <cstdlib>
#include <deque>

#include "tests/broker/client.h"

using smc_steer::tests::Client;
using Clock = std::chrono::steady_clock;

namespace {

constexpr uint32_t kVectors = 4;

std::unique_ptr<Client> join(const char* socket) {
    auto client = std::make_unique<Client>(socket);
    if (!client->introduce(kVectors) || client->join() != uint32_t{IVPCI_ACK_OK}) {
        std::fprintf(stderr, "broker_joins: %s: a member could not join\n", socket);
        std::exit(1);
    }
    return client;
}

// A slot is free when the broker has seen that its member went.
void leave(std::unique_ptr<Client> client) {
    client->close();
    auto gone = [&] { return client->own().state == IVPCI_SLOT_EMPTY; };
    if (!smc_steer::tests::eventually(gone)) {
        std::fprintf(stderr, "broker_joins: slot %u is not free\n", client->id);
        std::exit(1);
    }
}

double seconds_since(Clock::time_point began) {
    return std::chrono::duration<double>(Clock::now() - began).count();
}

}  // namespace

int main(int argc, char** argv) {
    const long members = argc > 3 ? std::strtol(argv[1], nullptr, 10) : 0;
    const long rounds = argc > 3 ? std::strtol(argv[2], nullptr, 10) : 0;
    if (members < 1 || rounds < 1) {
        std::fputs("usage: broker_joins MEMBERS ROUNDS SOCKET...\n", stderr);
        return 2;
    }
    std::deque<std::pair<const char*, std::unique_ptr<Client>>> there;
    auto began = Clock::now();
    for (long i = 0; i < members; ++i) {
        const char* socket = argv[3 + i % (argc - 3)];
        there.emplace_back(socket, join(socket));
    }
    const double filling = seconds_since(began);
    for (auto& [socket, client] : there) {
        client->follow([] { return true; });
    }
    began = Clock::now();
    for (long i = 0; i < rounds; ++i) {
        auto [socket, client] = std::move(there.front());
        there.pop_front();
        leave(std::move(client));
        there.emplace_back(socket, join(socket));
    }
    std::printf("{\"members\": %ld, \"filling_s\": %.6f, \"rounds\": %ld, \"rounds_s\": %.6f}\n",
                members, filling, rounds, seconds_since(began));
    return 0;
}

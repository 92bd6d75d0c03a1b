// SPDX-License-Identifier: Apache-2.0
// bpf/services.bpf.c on packets made here (BPF_PROG_TEST_RUN): SYNs of all shapes to an address
// that is a peer's and to one that is not. What is taken off has to leave a packet of the same
// length with a right checksum and the other options as they were; all else has to stay as it is.
// Prints how many packets were looked at; says on standard error what was wrong with which.
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <smc_steer/policy_abi.h>
#include <time.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "services.skel.h"

namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::uint8_t kSyn = 2, kAck = 16;
constexpr std::size_t kEthernet = 14, kTcp = 20;
const Bytes kMss{2, 4, 5, 180}, kSackTimestamps{4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0};
const Bytes kSmc{254, 6, 0xe2, 0xd4, 0xc3, 0xd9}, kOther{254, 6, 1, 2, 3, 4}, kNop{1};

Bytes operator+(Bytes a, const Bytes& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

std::uint32_t sum(const std::uint8_t* bytes, std::size_t size, std::uint32_t start = 0) {
    for (std::size_t i = 0; i < size; i++) {
        start += i % 2 ? bytes[i] : bytes[i] << 8;
    }
    return start;
}

std::uint16_t fold(std::uint32_t value) {
    while (value >> 16) {
        value = (value & 0xffff) + (value >> 16);
    }
    return static_cast<std::uint16_t>(~value);
}

struct Packet {
    std::string name;
    int family = AF_INET;
    Bytes ip_options;  // IPv4
    Bytes extensions;  // IPv6, whose first byte of each names what comes next
    std::uint8_t next = 6;
    std::uint8_t flags = kSyn;
    Bytes options;
    bool peer = false;       // it goes to one
    bool from_peer = false;  // it comes from one
    bool taken_off = false;  // wanted

    std::size_t ip_size() const {
        return family == AF_INET ? 20 + ip_options.size() : 40 + extensions.size();
    }
    std::size_t tcp_at() const { return kEthernet + ip_size(); }
};

std::uint32_t pseudo(const Packet& packet, const Bytes& frame) {
    auto size = static_cast<std::uint32_t>(frame.size() - packet.tcp_at());
    const auto* ip = frame.data() + kEthernet;
    return packet.family == AF_INET ? sum(ip + 12, 8, 6 + size) : sum(ip + 8, 32, 6 + size);
}

Bytes frame_of(const Packet& packet) {
    std::size_t tcp_size = kTcp + packet.options.size();
    Bytes frame(packet.tcp_at() + tcp_size, 0);
    auto* ip = frame.data() + kEthernet;
    std::uint8_t first = packet.from_peer ? 2 : 1;
    std::uint8_t last = packet.peer ? 2 : 3;
    if (packet.family == AF_INET) {
        frame[12] = 0x08;
        ip[0] = static_cast<std::uint8_t>(0x40 | packet.ip_size() / 4);
        ip[3] = static_cast<std::uint8_t>(packet.ip_size() + tcp_size);
        ip[8] = 64;
        ip[9] = packet.next;
        const std::array<std::uint8_t, 8> addresses{10, 0, 0, first, 10, 0, 0, last};
        std::memcpy(ip + 12, addresses.data(), addresses.size());
        if (!packet.ip_options.empty()) {
            std::memcpy(ip + 20, packet.ip_options.data(), packet.ip_options.size());
        }
        auto check = fold(sum(ip, packet.ip_size()));
        ip[10] = static_cast<std::uint8_t>(check >> 8);
        ip[11] = static_cast<std::uint8_t>(check);
    } else {
        frame[12] = 0x86;
        frame[13] = 0xdd;
        ip[0] = 0x60;
        ip[5] = static_cast<std::uint8_t>(packet.extensions.size() + tcp_size);
        ip[6] = packet.next;
        ip[7] = 64;
        ip[8] = ip[24] = 0xfd;
        ip[23] = first;
        ip[39] = last;
        if (!packet.extensions.empty()) {
            std::memcpy(ip + 40, packet.extensions.data(), packet.extensions.size());
        }
    }
    auto* tcp = frame.data() + packet.tcp_at();
    tcp[0] = 0x9c;
    tcp[2] = 0x23;
    tcp[7] = 77;
    tcp[12] = static_cast<std::uint8_t>(tcp_size / 4 << 4);
    tcp[13] = packet.flags;
    if (!packet.options.empty()) {
        std::memcpy(tcp + kTcp, packet.options.data(), packet.options.size());
    }
    auto check = fold(sum(tcp, tcp_size, pseudo(packet, frame)));
    tcp[16] = static_cast<std::uint8_t>(check >> 8);
    tcp[17] = static_cast<std::uint8_t>(check);
    return frame;
}

// What it has to become.
Bytes wanted(const Packet& packet) {
    if (!packet.taken_off) {
        return frame_of(packet);
    }
    Packet plain = packet;
    for (std::size_t i = 0; i + kSmc.size() <= plain.options.size(); i++) {
        if (std::equal(kSmc.begin(), kSmc.end(), plain.options.begin() + static_cast<long>(i))) {
            std::fill_n(plain.options.begin() + static_cast<long>(i), kSmc.size(), 1);
        }
    }
    return frame_of(plain);
}

std::vector<Packet> packets() {
    std::vector<Packet> all;
    const auto even = kMss + kSackTimestamps + kNop + kNop + kSmc;
    const auto odd = kMss + kSackTimestamps + kNop + kSmc + kNop;
    for (int family : {AF_INET, AF_INET6}) {
        for (bool peer : {false, true}) {
            std::string to = std::string(family == AF_INET ? "IPv4" : "IPv6") +
                             (peer ? " to a peer, " : " to others, ");
            auto add = [&](const char* what, Bytes options, bool ours, std::uint8_t flags = kSyn) {
                Packet packet;
                packet.name = to + what;
                packet.family = family;
                packet.flags = flags;
                packet.options = std::move(options);
                packet.peer = peer;
                packet.taken_off = ours && !peer;
                all.push_back(std::move(packet));
            };
            add("SMC's option last", even, true);
            add("at an odd place", odd, true);
            add("first", kSmc + kNop + kNop + kMss, true);
            add("alone", kNop + kNop + kSmc, true);
            add("with as many others as fit",
                kMss + kSackTimestamps + Bytes(16, 1) + kNop + kNop + kSmc, true);
            add("no option", {}, false);
            add("others only", kMss + kSackTimestamps, false);
            add("another experiment's", kNop + kNop + kOther, false);
            add("behind the end of the list", kMss + Bytes{0, 1} + kSmc, false);
            add("inside another option", kNop + kNop + Bytes{99, 8} + kSmc + kNop + kNop, false);
            add("an option that is too long", kMss + Bytes{99, 40} + kSmc, false);
            add("an option of no length", kMss + Bytes{99, 0} + kSmc, false);
            add("a SYN-ACK", even, false, kSyn | kAck);
            add("no SYN", even, false, kAck);
        }
    }
    for (int family : {AF_INET, AF_INET6}) {
        all.push_back({"from a peer", family, {}, {}, 6, kSyn, even, false, true, false});
    }
    for (bool peer : {false, true}) {
        Packet options{
            "IPv4 with options", AF_INET, Bytes(8, 1), {}, 6, kSyn, even, peer, false, !peer};
        // hop-by-hop (0), then options for the destination (60), then TCP
        Packet extended{"IPv6 with extensions",
                        AF_INET6,
                        {},
                        Bytes{60, 0, 1, 4, 0, 0, 0, 0, 6, 0, 1, 4, 0, 0, 0, 0},
                        0,
                        kSyn,
                        odd,
                        peer,
                        false,
                        !peer};
        // goes on from there to nobody knows whom
        Packet routed{"IPv6 with a routing header",
                      AF_INET6,
                      {},
                      Bytes{6, 0, 4, 0, 0, 0, 0, 0},
                      43,
                      kSyn,
                      even,
                      peer,
                      false,
                      true};
        Packet udp{"UDP", AF_INET, {}, {}, 17, kSyn, even, peer, false, false};
        for (auto& packet : {options, extended, routed, udp}) {
            all.push_back(packet);
        }
    }
    return all;
}

[[noreturn]] void die(const char* what) {
    std::perror(what);
    std::exit(1);
}

void put(bpf_object* object, const char* map, const void* key, const void* value) {
    int fd = bpf_object__find_map_fd_by_name(object, map);
    if (fd < 0 || bpf_map_update_elem(fd, key, value, BPF_ANY) != 0) {
        die(map);
    }
}

void make_peers(bpf_object* object) {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    steer_control control{};
    control.lease_until_ns = (static_cast<std::uint64_t>(now.tv_sec) + 60) * 1'000'000'000;
    std::uint32_t zero = 0;
    put(object, "control", &zero, &control);
    steer_peer peer{1, 1, 7254, 1};
    for (const char* text : {"::ffff:10.0.0.2", "fd00::2"}) {
        steer_address address{};
        inet_pton(AF_INET6, text, address.in6);
        put(object, "same_host", &address, &peer);
    }
}

bool look(int program, const Packet& packet) {
    auto frame = frame_of(packet);
    Bytes out(frame.size() + 256);
    bpf_test_run_opts run{};
    run.sz = sizeof(run);
    run.data_in = frame.data();
    run.data_size_in = static_cast<std::uint32_t>(frame.size());
    run.data_out = out.data();
    run.data_size_out = static_cast<std::uint32_t>(out.size());
    run.repeat = 1;
    if (bpf_prog_test_run_opts(program, &run) != 0) {
        die("guard_probe: test run");
    }
    out.resize(run.data_size_out);
    if (static_cast<int>(run.retval) == -1 && out == wanted(packet)) {
        return true;
    }
    std::fprintf(stderr, "guard_probe: %s: verdict %d, %zu bytes became %zu\n", packet.name.c_str(),
                 static_cast<int>(run.retval), frame.size(), out.size());
    return false;
}

}  // namespace

int main() {
    std::size_t size = 0;
    const void* elf = ::services::elf_bytes(&size);
    bpf_object* object = bpf_object__open_mem(elf, size, nullptr);
    if (!object || bpf_object__load(object) != 0) {
        die("guard_probe: cannot load");
    }
    make_peers(object);
    int program = bpf_program__fd(bpf_object__find_program_by_name(object, "guard_leaving"));
    auto all = packets();
    int wrong = 0;
    for (const auto& packet : all) {
        wrong += !look(program, packet);
    }
    std::printf("%zu\n", all.size());
    return wrong ? 1 : 0;
}

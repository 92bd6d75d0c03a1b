// SPDX-License-Identifier: Apache-2.0
// Socket options, one row each: whether they are taken, and what is read back.
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <tuple>

#include "fixture.h"

namespace semantics {
namespace {

struct Option {
    const char* name;
    int level;
    int number;
    int value;  // that is set; kRead: none is
};

constexpr int kRead = -1;
constexpr int kTcpInq = 36;           // TCP_INQ; C libraries of 2023 do not all know it
constexpr int kNotsentLowat = 25;     // TCP_NOTSENT_LOWAT
constexpr int kFastopenConnect = 30;  // TCP_FASTOPEN_CONNECT

const std::array kOptions = {
    Option{"SO_KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE, 1},
    Option{"SO_REUSEADDR", SOL_SOCKET, SO_REUSEADDR, 1},
    Option{"SO_PRIORITY", SOL_SOCKET, SO_PRIORITY, 3},
    Option{"SO_MARK", SOL_SOCKET, SO_MARK, 5},
    Option{"SO_BUSY_POLL", SOL_SOCKET, SO_BUSY_POLL, 50},
    Option{"SO_TIMESTAMP", SOL_SOCKET, SO_TIMESTAMP, 1},
    Option{"SO_RCVLOWAT", SOL_SOCKET, SO_RCVLOWAT, 1},
    Option{"SO_DONTROUTE", SOL_SOCKET, SO_DONTROUTE, 1},
    Option{"SO_OOBINLINE", SOL_SOCKET, SO_OOBINLINE, 1},
    Option{"SO_MAX_PACING_RATE", SOL_SOCKET, SO_MAX_PACING_RATE, 1 << 30},
    Option{"SO_INCOMING_CPU", SOL_SOCKET, SO_INCOMING_CPU, 0},
    Option{"SO_TYPE", SOL_SOCKET, SO_TYPE, kRead},
    Option{"SO_DOMAIN", SOL_SOCKET, SO_DOMAIN, kRead},
    Option{"SO_PROTOCOL", SOL_SOCKET, SO_PROTOCOL, kRead},
    Option{"SO_ACCEPTCONN", SOL_SOCKET, SO_ACCEPTCONN, kRead},
    Option{"SO_ERROR", SOL_SOCKET, SO_ERROR, kRead},
    Option{"TCP_NODELAY", IPPROTO_TCP, TCP_NODELAY, 1},
    Option{"TCP_CORK", IPPROTO_TCP, TCP_CORK, 1},
    Option{"TCP_QUICKACK", IPPROTO_TCP, TCP_QUICKACK, 1},
    Option{"TCP_KEEPIDLE", IPPROTO_TCP, TCP_KEEPIDLE, 33},
    Option{"TCP_KEEPINTVL", IPPROTO_TCP, TCP_KEEPINTVL, 11},
    Option{"TCP_KEEPCNT", IPPROTO_TCP, TCP_KEEPCNT, 4},
    Option{"TCP_USER_TIMEOUT", IPPROTO_TCP, TCP_USER_TIMEOUT, 9000},
    Option{"TCP_LINGER2", IPPROTO_TCP, TCP_LINGER2, 9},
    Option{"TCP_DEFER_ACCEPT", IPPROTO_TCP, TCP_DEFER_ACCEPT, 3},
    Option{"TCP_SYNCNT", IPPROTO_TCP, TCP_SYNCNT, 3},
    Option{"TCP_NOTSENT_LOWAT", IPPROTO_TCP, kNotsentLowat, 1 << 20},
    Option{"TCP_FASTOPEN_CONNECT", IPPROTO_TCP, kFastopenConnect, 1},
    Option{"TCP_INQ", IPPROTO_TCP, kTcpInq, 1},
    Option{"IP_TOS", IPPROTO_IP, IP_TOS, 16},
    Option{"IP_TTL", IPPROTO_IP, IP_TTL, 40},
    Option{"IP_RECVERR", IPPROTO_IP, IP_RECVERR, 1},
};

std::string read_back(int fd, const Option& one) {
    int value = 0;
    socklen_t size = sizeof(value);
    const int result = getsockopt(fd, one.level, one.number, &value, &size);
    return result == 0 ? std::to_string(value) : error_name(errno);
}

class Options : public Semantics, public ::testing::WithParamInterface<Option> {
protected:
    void look(int fd, const std::string& when) {
        const Option& one = GetParam();
        const std::string set =
            one.value == kRead ? ""
                               : outcome(set_option(fd, one.level, one.number, one.value)) + "/";
        saw(when, set + read_back(fd, one));
    }
};

INSTANTIATE_TEST_SUITE_P(All, Options, ::testing::ValuesIn(kOptions),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_P(Options, SetAndRead) {
    Fd fd = open_stream(AF_INET);
    look(fd.get(), "new");
    fd = call(port);
    look(fd.get(), "connected");
    const Fd listener = listen_at(make_address(setup.own, static_cast<uint16_t>(port + 1)));
    fd = take(listener.get(), static_cast<uint16_t>(port + 1), setup.own, "d");
    look(fd.get(), "accepted");
    set_option(fd.get(), IPPROTO_TCP, TCP_CORK, 0);  // or nothing would go out
    EXPECT_EQ(send_all(fd.get(), pattern(1, 500)), "ok");
    EXPECT_EQ(puppet("recv", "d", 500, 1), "ok");
}

class OptionsOf : public Connected {};
SEMANTICS_BOTH_ROLES(OptionsOf);

TEST_P(OptionsOf, TcpInfo) {
    tcp_info info{};
    socklen_t size = sizeof(info);
    EXPECT_EQ(outcome(getsockopt(fd.get(), IPPROTO_TCP, TCP_INFO, &info, &size)), "0");
    EXPECT_GE(size, offsetof(tcp_info, tcpi_total_retrans));
    EXPECT_EQ(info.tcpi_state, TCP_ESTABLISHED);
    EXPECT_GT(info.tcpi_snd_mss, 0U);
    EXPECT_EQ(puppet("shutdown", "c", "wr"), "ok");
    EXPECT_EQ(next(fd.get()), "end");
    size = sizeof(info);
    getsockopt(fd.get(), IPPROTO_TCP, TCP_INFO, &info, &size);
    saw("state after the peer's end", std::to_string(info.tcpi_state));
}

TEST_P(OptionsOf, Congestion) {
    std::array<char, 32> name{};
    socklen_t size = name.size();
    EXPECT_EQ(outcome(getsockopt(fd.get(), IPPROTO_TCP, TCP_CONGESTION, name.data(), &size)), "0");
    EXPECT_EQ(std::string(name.data()).empty(), false);
    saw("set reno", outcome(setsockopt(fd.get(), IPPROTO_TCP, TCP_CONGESTION, "reno", 4)));
}

TEST_P(OptionsOf, UpperProtocol) {
    saw("TCP_ULP tls", outcome(setsockopt(fd.get(), IPPROTO_TCP, TCP_ULP, "tls", 3)));
    exchange();
}

TEST_P(OptionsOf, Times) {
    const timeval time{2, 500000};
    for (const int name : {SO_RCVTIMEO, SO_SNDTIMEO}) {
        EXPECT_EQ(setsockopt(fd.get(), SOL_SOCKET, name, &time, sizeof(time)), 0);
        timeval back{};
        socklen_t size = sizeof(back);
        EXPECT_EQ(getsockopt(fd.get(), SOL_SOCKET, name, &back, &size), 0);
        EXPECT_EQ(back.tv_sec, 2);
        EXPECT_EQ(back.tv_usec, 500000);
    }
}

TEST_P(OptionsOf, Unknown) {
    saw("level", outcome(set_option(fd.get(), 12345, 1, 1)));
    saw("name", outcome(set_option(fd.get(), IPPROTO_TCP, 9999, 1)));
    saw("read", read_back(fd.get(), {"", IPPROTO_TCP, 9999, kRead}));
    saw("short value", outcome(setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, "", 1)));
}

}  // namespace
}  // namespace semantics

// SPDX-License-Identifier: Apache-2.0
// IPv6, and IPv4 in IPv6 sockets.
#include <netinet/in.h>

#include <cerrno>
#include <utility>

#include "fixture.h"

namespace semantics {
namespace {

class Families : public Semantics {
protected:
    void exchange(int fd) {
        EXPECT_EQ(send_all(fd, pattern(1, 20000)), "ok");
        EXPECT_EQ(puppet("recv", "c", 20000, 1), "ok");
        EXPECT_EQ(puppet("send", "c", 20000, 2), "ok");
        EXPECT_EQ(expect_stream(fd, 20000, 2), "ok");
        EXPECT_EQ(puppet("shutdown", "c", "wr"), "ok");
        EXPECT_EQ(next(fd), "end");
    }
};

TEST_F(Families, SixClient) {
    const Fd fd = call(port, setup.peer6);
    EXPECT_EQ(peer_of(fd.get()).text(), make_address(setup.peer6, port).text());
    EXPECT_EQ(puppet("peername", "c"), "ok " + name_of(fd.get()).text());
    exchange(fd.get());
}

TEST_F(Families, SixServer) {
    const Fd listener = listen_at(make_address(setup.own6, port));
    const Fd fd = take(listener.get(), port, setup.own6);
    EXPECT_EQ(name_of(fd.get()).text(), make_address(setup.own6, port).text());
    EXPECT_EQ(puppet("name", "c"), "ok " + peer_of(fd.get()).text());
    exchange(fd.get());
}

TEST_F(Families, MappedClient) {
    ASSERT_EQ(puppet("listen", "l", setup.peer, port), "ok");
    const Fd fd = open_stream(AF_INET6);
    const Address there = make_address("::ffff:" + setup.peer, port);
    EXPECT_EQ(outcome(connect_to(fd.get(), there)), "0");
    EXPECT_EQ(puppet("accept", "l", "c"), "ok");
    meet(fd.get());
    EXPECT_EQ(peer_of(fd.get()).text(), there.text());
    EXPECT_EQ(name_of(fd.get()).text(),
              make_address("::ffff:" + setup.own, name_of(fd.get()).port()).text());
    exchange(fd.get());
}

TEST_F(Families, MappedServer) {
    const Fd listener = listen_at(make_address("::", port));
    const Fd fd = take(listener.get(), port);
    ASSERT_TRUE(fd);
    EXPECT_EQ(name_of(fd.get()).text(), make_address("::ffff:" + setup.own, port).text());
    EXPECT_EQ(puppet("name", "c"),
              "ok " + make_address(setup.peer, peer_of(fd.get()).port()).text());
    EXPECT_EQ(peer_of(fd.get()).text().substr(0, 8), "[::ffff:");
    exchange(fd.get());
}

TEST_F(Families, SixOnly) {
    const Fd six = open_stream(AF_INET6);
    set_option(six.get(), SOL_SOCKET, SO_REUSEADDR, 1);
    ASSERT_EQ(set_option(six.get(), IPPROTO_IPV6, IPV6_V6ONLY, 1), 0);
    const Address all = make_address("::", port);
    ASSERT_EQ(outcome(bind(six.get(), all.raw(), all.size)), "0");
    ASSERT_EQ(outcome(listen(six.get(), 5)), "0");
    EXPECT_EQ(puppet("connect", "c", setup.own, port), "ECONNREFUSED");
    const Fd four = listen_at(make_address("0.0.0.0", port));
    ASSERT_TRUE(four) << error_name(errno);
    const Fd fd = take(four.get(), port);
    exchange(fd.get());
    EXPECT_EQ(puppet("connect", "d", setup.own6, port), "ok");
    EXPECT_TRUE(accept_from(six.get()));
}

TEST_F(Families, SixRefused) {
    const Fd fd = open_stream(AF_INET6);
    EXPECT_EQ(outcome(connect_to(fd.get(), make_address(setup.peer6, port))), "ECONNREFUSED");
}

TEST_F(Families, SixOptions) {
    const Fd fd = call(port, setup.peer6);
    for (const auto& [name, number] : {std::pair{"IPV6_TCLASS", IPV6_TCLASS},
                                       std::pair{"IPV6_UNICAST_HOPS", IPV6_UNICAST_HOPS}}) {
        const std::string set = outcome(set_option(fd.get(), IPPROTO_IPV6, number, 9));
        saw(name, set + "/" + std::to_string(option(fd.get(), IPPROTO_IPV6, number)));
    }
    saw("SO_DOMAIN", std::to_string(option(fd.get(), SOL_SOCKET, SO_DOMAIN)));
}

TEST_F(Families, Loopback) {
    const Fd listener = listen_at(make_address("127.0.0.1", port));
    const Fd fd = open_stream(AF_INET);
    ASSERT_EQ(outcome(connect_to(fd.get(), make_address("127.0.0.1", port))), "0");
    const Fd other = accept_from(listener.get());
    ASSERT_TRUE(other);
    EXPECT_EQ(send_all(fd.get(), pattern(1, 20000)), "ok");
    EXPECT_EQ(expect_stream(other.get(), 20000, 1), "ok");
}

}  // namespace
}  // namespace semantics

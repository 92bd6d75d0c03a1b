// SPDX-License-Identifier: Apache-2.0
// getsockname(), getpeername(), bind() before connect(): both ends agree on who they are.
#include <netinet/in.h>

#include <cerrno>

#include "fixture.h"
#include "flags.h"

namespace semantics {
namespace {

class Names : public Connected {};
SEMANTICS_BOTH_ROLES(Names);

std::string told(const std::string& text) { return "ok " + text; }

TEST_P(Names, EndsAgree) {
    const std::string own = name_of(fd.get()).text();
    const std::string peer = peer_of(fd.get()).text();
    EXPECT_EQ(GetParam() == Role::kClient ? peer : own, asked);
    EXPECT_EQ(puppet("name", "c"), told(peer));
    EXPECT_EQ(puppet("peername", "c"), told(own));
}

TEST_P(Names, AfterHalfClose) {
    const std::string own = name_of(fd.get()).text();
    const std::string peer = peer_of(fd.get()).text();
    EXPECT_EQ(puppet("shutdown", "c", "wr"), "ok");
    EXPECT_EQ(next(fd.get()), "end");
    EXPECT_EQ(name_of(fd.get()).text(), own);
    EXPECT_EQ(peer_of(fd.get()).text(), peer);
    const std::string theirs = puppet("peername", "c");
    saw("getpeername at the other end", theirs == told(own) ? "as before" : theirs);
}

TEST_P(Names, AfterOwnHalfClose) {
    const std::string own = name_of(fd.get()).text();
    EXPECT_EQ(shutdown(fd.get(), SHUT_WR), 0);
    EXPECT_EQ(puppet("next", "c"), "end");
    EXPECT_EQ(name_of(fd.get()).text(), own);
    Address peer;
    saw("getpeername", outcome(getpeername(fd.get(), peer.raw(), &peer.size)));
}

TEST_P(Names, AfterBothHalvesClosed) {
    EXPECT_EQ(puppet("shutdown", "c", "wr"), "ok");
    EXPECT_EQ(next(fd.get()), "end");
    EXPECT_EQ(shutdown(fd.get(), SHUT_WR), 0);
    EXPECT_EQ(puppet("next", "c"), "end");
    Address peer;
    settled(fd.get(), "IN+OUT+RDHUP+HUP");
    saw("getpeername", outcome(getpeername(fd.get(), peer.raw(), &peer.size)));
}

TEST_P(Names, AfterReset) {
    const std::string own = name_of(fd.get()).text();
    EXPECT_EQ(puppet("reset", "c"), "ok");
    saw("recv", next(fd.get()));
    saw("getsockname", name_of(fd.get()).text() == own ? "as before" : name_of(fd.get()).text());
    Address peer;
    saw("getpeername", outcome(getpeername(fd.get(), peer.raw(), &peer.size)));
}

TEST_P(Names, BufferTooSmall) {
    Address whole = peer_of(fd.get());
    Address part;
    part.size = 4;
    EXPECT_EQ(getpeername(fd.get(), part.raw(), &part.size), 0);
    saw("length", std::to_string(part.size));
    EXPECT_EQ(part.port(), whole.port());
}

class AcceptedNames : public Semantics {};

TEST_F(AcceptedNames, AreTheClients) {
    const Fd listener = listen_at(make_address(setup.own, port));
    tell("connect", "c", setup.own, port);
    Address from;
    const Fd fd = accept_from(listener.get(), &from);
    ASSERT_TRUE(fd);
    EXPECT_EQ(answer(), "ok");
    meet(fd.get());
    EXPECT_EQ(puppet("name", "c"), told(from.text()));
    EXPECT_EQ(peer_of(fd.get()).text(), from.text());
    EXPECT_EQ(from.size, sizeof(sockaddr_in));
}

// A listener at all addresses: its connections have the one that was called.
TEST_F(AcceptedNames, OfAListenerAtAllAddresses) {
    const Fd listener = listen_at(make_address("0.0.0.0", port));
    EXPECT_EQ(name_of(listener.get()).text(), "0.0.0.0:" + std::to_string(port));
    const Fd fd = take(listener.get(), port);
    EXPECT_EQ(name_of(fd.get()).text(), make_address(setup.own, port).text());
    EXPECT_EQ(puppet("peername", "c"), told(make_address(setup.own, port).text()));
}

class Bound : public Semantics {
protected:
    void SetUp() override {
        ASSERT_NO_FATAL_FAILURE(Semantics::SetUp());
        ASSERT_EQ(puppet("listen", "l", setup.peer, port), "ok");
        fd = open_stream(AF_INET);
        set_option(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
    }
    std::string bind_to(const std::string& ip, uint16_t to) {
        const Address address = make_address(ip, to);
        return outcome(bind(fd.get(), address.raw(), address.size));
    }
    std::string call() { return outcome(connect_to(fd.get(), make_address(setup.peer, port))); }
    Fd fd;
};

TEST_F(Bound, ToAnyPort) {
    EXPECT_EQ(bind_to(setup.own, 0), "0");
    const std::string name = name_of(fd.get()).text();
    EXPECT_NE(name_of(fd.get()).port(), 0);
    EXPECT_EQ(call(), "0");
    EXPECT_EQ(name_of(fd.get()).text(), name);
    EXPECT_EQ(puppet("accept", "l", "c"), "ok");
    meet(fd.get());
    EXPECT_EQ(puppet("peername", "c"), told(name));
}

TEST_F(Bound, ToAPort) {
    const auto own = static_cast<uint16_t>(port + 1);
    EXPECT_EQ(bind_to(setup.own, own), "0");
    EXPECT_EQ(call(), "0");
    EXPECT_EQ(name_of(fd.get()).text(), make_address(setup.own, own).text());
    EXPECT_EQ(puppet("accept", "l", "c"), "ok");
    meet(fd.get());
    EXPECT_EQ(puppet("peername", "c"), told(make_address(setup.own, own).text()));
    EXPECT_EQ(send_all(fd.get(), pattern(1, 1000)), "ok");
    EXPECT_EQ(puppet("recv", "c", 1000, 1), "ok");
}

TEST_F(Bound, ToAPortOfAllAddresses) {
    const auto own = static_cast<uint16_t>(port + 1);
    EXPECT_EQ(bind_to("0.0.0.0", own), "0");
    EXPECT_EQ(name_of(fd.get()).text(), make_address("0.0.0.0", own).text());
    EXPECT_EQ(call(), "0");
    EXPECT_EQ(name_of(fd.get()).text(), make_address(setup.own, own).text());
}

TEST_F(Bound, Twice) {
    EXPECT_EQ(bind_to(setup.own, static_cast<uint16_t>(port + 1)), "0");
    EXPECT_EQ(bind_to(setup.own, 0), "EINVAL");
    EXPECT_EQ(call(), "0");
    EXPECT_EQ(bind_to(setup.own, 0), "EINVAL");
}

TEST_F(Bound, ToAnAddressOfOthers) { EXPECT_EQ(bind_to(setup.peer, 0), "EADDRNOTAVAIL"); }

TEST_F(Bound, ToAPortInUse) {
    const Fd listener = listen_at(make_address(setup.own, static_cast<uint16_t>(port + 1)));
    EXPECT_EQ(bind_to(setup.own, static_cast<uint16_t>(port + 1)), "EADDRINUSE");
}

TEST_F(Bound, WithAnotherFamily) {
    const Address six = make_address(setup.own6, 0);
    saw("bind", outcome(bind(fd.get(), six.raw(), six.size)));
    const Address six_there = make_address(setup.peer6, port);
    saw("connect", outcome(connect_to(fd.get(), six_there)));
    Address small = make_address(setup.own, 0);
    saw("short address", outcome(bind(fd.get(), small.raw(), 4)));
}

}  // namespace
}  // namespace semantics

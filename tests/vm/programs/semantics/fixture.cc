// SPDX-License-Identifier: Apache-2.0
#include "fixture.h"

#include <cerrno>

#include "rings.h"

namespace semantics {
namespace {

constexpr int kTestSeconds = 20;
constexpr uint16_t kPortsOfATest = 2;
constexpr int kMeetings = 6;  // of a test with many connections only the first ones are waited for

}  // namespace

Setup setup;

void Semantics::SetUp() {
    static uint16_t next_port = setup.first;
    port = next_port;
    next_port = static_cast<uint16_t>(next_port + kPortsOfATest);
    watch_time(kTestSeconds);
    const Address address = make_address(setup.peer, setup.control);
    control_ = open_stream(address.family());
    ASSERT_EQ(connect_to(control_.get(), address), 0) << "no puppet: " << error_name(errno);
    limit_waits(control_.get(), 15000);
}

void Semantics::TearDown() {
    watch_time(0);
    if (!seen_.empty()) {
        RecordProperty("saw", seen_);
    }
    if (met_ > 0) {
        RecordProperty("met", met_);
        RecordProperty("moved", moved_);
        RecordProperty("in_the_way", in_the_way_);
    }
}

void Semantics::send_line(const std::string& line) {
    const std::string text = line + "\n";
    ASSERT_EQ(send_all(control_.get(), {text.begin(), text.end()}), "ok") << "to the puppet";
}

std::string Semantics::answer() {
    size_t end = 0;
    while ((end = pending_.find('\n')) == std::string::npos) {
        char block[256];
        const ssize_t n = recv(control_.get(), block, sizeof(block), 0);
        if (n <= 0) {
            return "no answer: " + outcome(n);
        }
        pending_.append(block, n);
    }
    std::string line = pending_.substr(0, end);
    pending_.erase(0, end + 1);
    return line;
}

void Semantics::saw(const std::string& what, const std::string& value) {
    seen_ += (seen_.empty() ? "" : "; ") + what + " " + value;
}

void Semantics::meet(int fd, const std::string& name) {
    if (setup.await.empty() || met_ == kMeetings) {
        return;
    }
    const std::string here = await_rings(fd, setup.await);
    const std::string there = puppet("await", name, setup.await);
    ++met_;
    if (here == "ok" && there == "ok") {
        ++moved_;
    } else {
        in_the_way_ = here + ", at the puppet " + there;
    }
}

Fd Semantics::call(uint16_t to, const std::string& ip) {
    EXPECT_EQ(puppet("listen", "l", ip, to), "ok");
    const Address address = make_address(ip, to);
    Fd fd = open_stream(address.family());
    EXPECT_EQ(outcome(connect_to(fd.get(), address)), "0");
    EXPECT_EQ(puppet("accept", "l", "c"), "ok");
    meet(fd.get());
    return fd;
}

Fd Semantics::take(int listener, uint16_t to, const std::string& ip, const std::string& name) {
    tell("connect", name, ip, to);
    Fd fd = accept_from(listener);
    EXPECT_TRUE(fd) << "accept: " << error_name(errno);
    EXPECT_EQ(answer(), "ok");
    meet(fd.get(), name);
    return fd;
}

void Connected::SetUp() {
    ASSERT_NO_FATAL_FAILURE(Semantics::SetUp());
    if (GetParam() == Role::kClient) {
        asked = make_address(setup.peer, port).text();
        fd = call(port);
    } else {
        asked = make_address(setup.own, port).text();
        listener = listen_at(make_address(setup.own, port));
        ASSERT_TRUE(listener) << error_name(errno);
        fd = take(listener.get(), port);
    }
    ASSERT_TRUE(fd);
    ASSERT_FALSE(HasFailure());
}

void Connected::exchange() {
    EXPECT_EQ(send_all(fd.get(), pattern(901, 1000)), "ok");
    EXPECT_EQ(puppet("recv", "c", 1000, 901), "ok");
    EXPECT_EQ(puppet("send", "c", 1000, 902), "ok");
    EXPECT_EQ(expect_stream(fd.get(), 1000, 902), "ok");
}

std::string role_name(const ::testing::TestParamInfo<Role>& info) {
    return info.param == Role::kClient ? "client" : "server";
}

}  // namespace semantics

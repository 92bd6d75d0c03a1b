// SPDX-License-Identifier: Apache-2.0
// What the tests stand on. Each has a puppet of its own and ports that no other test of the run
// uses.
//
// A test asserts what every stream socket has to do. What programs may see differently without
// being wrong it notes with saw(): runs over TCP, SMC and the direct path are compared by that, row
// by row.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <sstream>
#include <string>

#include "pattern.h"
#include "socket.h"

namespace semantics {

// From the command line.
struct Setup {
    std::string own, own6;    // addresses of this end
    std::string peer, peer6;  // and of the puppet
    uint16_t control = 0;     // port of the puppet
    uint16_t first = 0;       // of the tests'; those above it, too
    std::string await;        // "rings", "moved": what tests wait for (rings.h), once connected
};
extern Setup setup;

class Semantics : public ::testing::Test {
protected:
    void SetUp() override;
    void TearDown() override;

    // One command for the puppet (puppet.cc) and its answer.
    template <typename... Words>
    std::string puppet(const Words&... words) {
        tell(words...);
        return answer();
    }
    // The same in two steps, for something to be done here meanwhile.
    template <typename... Words>
    void tell(const Words&... words) {
        std::ostringstream line;
        ((line << words << ' '), ...);
        send_line(line.str());
    }
    std::string answer();

    void saw(const std::string& what, const std::string& value);

    // A connection has both its ends. Waits, if that is asked for, until somebody has moved it.
    void meet(int fd, const std::string& name = "c");

    // Connects a new socket to the puppet's socket "c".
    Fd call(uint16_t port, const std::string& ip = setup.peer);
    // Both ends of a connection that the puppet makes to `listener`.
    Fd take(int listener, uint16_t port, const std::string& ip = setup.own,
            const std::string& name = "c");

    uint16_t port = 0;  // and the next one

private:
    void send_line(const std::string& line);

    Fd control_;
    std::string pending_;  // of an answer
    std::string seen_;
    int met_ = 0;             // connections that were waited for
    int moved_ = 0;           // not in vain
    std::string in_the_way_;  // of others
};

enum class Role { kClient, kServer };

// A connection between `fd` and the puppet's socket "c"; who called whom is the parameter.
class Connected : public Semantics, public ::testing::WithParamInterface<Role> {
protected:
    void SetUp() override;
    void exchange();  // some bytes each way, to see that it works

    Fd listener;  // ours, as server; stays open
    Fd fd;
    std::string asked;  // the address that was called
};

std::string role_name(const ::testing::TestParamInfo<Role>& info);

// Each file with tests of connections says so.
#define SEMANTICS_BOTH_ROLES(suite)                                                         \
    INSTANTIATE_TEST_SUITE_P(Roles, suite, ::testing::Values(Role::kClient, Role::kServer), \
                             role_name)

}  // namespace semantics

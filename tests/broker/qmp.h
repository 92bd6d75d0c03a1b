// SPDX-License-Identifier: Apache-2.0
#ifndef SMC_STEER_TESTS_BROKER_QMP_H
#define SMC_STEER_TESTS_BROKER_QMP_H

#include <sys/socket.h>
#include <sys/un.h>

#include <nlohmann/json.hpp>

#include "tests/broker/client.h"

namespace smc_steer::tests {

using nlohmann::json;

// QEMU's monitor protocol, one command at a time (docs/interop/qmp-spec).
class Qmp {
public:
    bool connect(const std::string& path) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, sizeof(address.sun_path) - 1);
        if (!eventually(
                [&] {
                    fd_ = UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
                    return ::connect(fd_.get(), reinterpret_cast<sockaddr*>(&address),
                                     sizeof(address)) == 0;
                },
                milliseconds(20000))) {
            return false;
        }
        timeval limit{20, 0};
        setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
        return !line().is_null() && !command({{"execute", "qmp_capabilities"}}).is_null();
    }

    // The value of "return"; null on error. Events that come in between are skipped.
    json command(const json& what) {
        std::string text = what.dump() + "\n";
        if (send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL) < 0) {
            return nullptr;
        }
        while (true) {
            json answer = line();
            if (answer.is_null() || answer.contains("error")) {
                return nullptr;
            }
            if (answer.contains("return")) {
                return answer["return"];
            }
        }
    }

    json monitor(const std::string& line) {
        return command(
            {{"execute", "human-monitor-command"}, {"arguments", {{"command-line", line}}}});
    }

private:
    json line() {
        std::string text;
        char c = 0;
        while (recv(fd_.get(), &c, 1, 0) == 1) {
            if (c == '\n') {
                return json::parse(text, nullptr, false);
            }
            text += c;
        }
        return nullptr;
    }
    UniqueFd fd_;
};

}  // namespace smc_steer::tests

#endif  // SMC_STEER_TESTS_BROKER_QMP_H

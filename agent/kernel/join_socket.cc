// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/join_socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <smc_steer/join_abi.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <string_view>

namespace smc_steer {
namespace {

constexpr std::string_view kUlp = SMC_JOIN_ULP;

template <typename T>
JoinStep step(int local, int option, const T& value) {
    if (setsockopt(local, SOL_SMC_JOIN, option, &value, sizeof(value)) == 0) {
        return JoinStep::done;
    }
    if (errno == EAGAIN) {
        return JoinStep::later;
    }
    spdlog::debug("smc_join: option {}: {}", option, std::strerror(errno));
    return JoinStep::never;
}

}  // namespace

Result<JoinModule> JoinModule::open() {
    UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP));
    if (fd && join_begin(fd.get())) {
        return JoinModule(std::move(fd));
    }
    if (errno == ENOENT) {
        return fail("module smc_join is not there: install it with ivpci (package ivpci-dkms)");
    }
    return fail_errno(errno, "module smc_join cannot be used");
}

void keep_timers(const JoinModule* module, int fd) {
    if (module != nullptr) {
        step(module->fd(), SMC_JOIN_TIMERS, fd);
    }
}

bool join_begin(int local) {
    return setsockopt(local, IPPROTO_TCP, TCP_ULP, kUlp.data(), kUlp.size()) == 0;
}

JoinStep join_prepare(int local) { return step(local, SMC_JOIN_PREPARE, 0); }

JoinStep join_send(int local, int wire, bool urgent_is_reset) {
    smc_join_wire given{wire, urgent_is_reset ? SMC_JOIN_URGENT_IS_RESET : 0U};
    return step(local, SMC_JOIN_SEND, given);
}

JoinStep join_receive(int local) { return step(local, SMC_JOIN_RECEIVE, 0); }

std::optional<JoinedBytes> joined_bytes(int local) {
    smc_join_info info{};
    socklen_t length = sizeof(info);
    if (getsockopt(local, SOL_SMC_JOIN, SMC_JOIN_INFO, &info, &length) != 0) {
        return std::nullopt;
    }
    return JoinedBytes{info.sent, info.received};
}

}  // namespace smc_steer

// SPDX-License-Identifier: Apache-2.0
// /dev/tcp_ivpci: the kernel's side of the direct path, see include/smc_steer/direct_abi.h.
#ifndef SMC_STEER_AGENT_KERNEL_DIRECT_DEVICE_H
#define SMC_STEER_AGENT_KERNEL_DIRECT_DEVICE_H

#include <smc_steer/direct_abi.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "agent/base/unique_fd.h"
#include "agent/kernel/diag.h"

namespace smc_steer {

// How a request about one connection ended.
struct DirectAnswer {
    enum class End { done, no_connection, refused, failed };
    End end = End::done;
    direct_reason reason = DIRECT_NO_REASON;  // of `refused`
    int error = 0;                            // errno of `failed`

    explicit operator bool() const { return end == End::done; }
};

// "connection_not_clean" of DIRECT_NOT_CLEAN and so on: stable, for reports and metrics.
std::string_view direct_reason_name(direct_reason reason);
// The same for people.
std::string_view direct_reason_text(direct_reason reason);
std::string to_string(const DirectAnswer& answer);

// The connection with these addresses, as requests name it; `netns`: an open file of its network
// namespace. Its sequence numbers are DIRECT_IDENTIFY's to fill in.
direct_request name_connection(const SocketAddresses& addresses, int netns);

// What the agent asks of the kernel for a connection. The state machine's tests have another one.
class DirectRequests {
public:
    virtual ~DirectRequests() = default;
    // `what`: DIRECT_IDENTIFY, _ATTACH, _DETACH, _LOOK
    virtual DirectAnswer ask(unsigned long what, direct_request& connection) = 0;
    // `what`: DIRECT_MAKE, _CONNECT, _MOVE, _BACK, _RETURN, _FLOW
    virtual DirectAnswer ask(unsigned long what, direct_rings& rings) = 0;
};

// Open only as long as it is used: who holds it open keeps the module from being unloaded.
class DirectDevice : public DirectRequests {
public:
    static constexpr const char* kPath = "/dev/tcp_ivpci";

    // ENOENT: the module is not loaded.
    static Result<DirectDevice> open(const char* path = kPath);

    DirectAnswer ask(unsigned long what, direct_request& connection) override;
    DirectAnswer ask(unsigned long what, direct_rings& rings) override;
    // Value: how many connections there were.
    std::uint64_t detach_all();
    Result<direct_counters> counters();

private:
    explicit DirectDevice(UniqueFd fd) : fd_(std::move(fd)) {}
    DirectAnswer talk(unsigned long what, void* request, const direct_request& connection);

    UniqueFd fd_;
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_KERNEL_DIRECT_DEVICE_H

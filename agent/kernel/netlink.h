// SPDX-License-Identifier: Apache-2.0
// A netlink socket that asks and collects the answer; messages are made and taken apart
// with libmnl by the callers.
#ifndef SMC_STEER_AGENT_KERNEL_NETLINK_H
#define SMC_STEER_AGENT_KERNEL_NETLINK_H

#include <libmnl/libmnl.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>

#include "agent/base/result.h"

namespace smc_steer {

class NetlinkSocket {
public:
    // Belongs to the calling thread's network namespace for good. `bus` is NETLINK_*,
    // `groups` the old-style multicast mask to listen to.
    static Result<NetlinkSocket> open(int bus, unsigned groups = 0);

    int fd() const { return mnl_socket_get_fd(socket_.get()); }

    using OnMessage = std::function<void(const nlmsghdr&)>;

    // Sends `request` (its sequence number is filled in; NLM_F_ACK or NLM_F_DUMP must be
    // set, or there is no end to wait for) and passes on every message of the answer.
    // Value: 0, or the errno the kernel answered; EINTR: the thing changed during the
    // dump, ask again. Error: the socket itself failed, or two seconds of silence.
    Result<int> talk(nlmsghdr& request, const OnMessage& on_message = {});

    // Throws away everything that is waiting. Value: was there anything (or was
    // anything lost, which is the same news).
    bool drain();

private:
    struct Close {
        void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
    };
    explicit NetlinkSocket(mnl_socket* socket) : socket_(socket) {}

    std::unique_ptr<mnl_socket, Close> socket_;
    std::uint32_t sequence_ = 0;
};

// Room for one request, and the request's beginning in it.
struct NetlinkRequest {
    alignas(nlmsghdr) std::array<char, 1024> room{};
    nlmsghdr* header;

    NetlinkRequest(std::uint16_t type, std::uint16_t flags)
        : header(mnl_nlmsg_put_header(room.data())) {
        header->nlmsg_type = type;
        header->nlmsg_flags = NLM_F_REQUEST | flags;
    }
    NetlinkRequest(const NetlinkRequest&) = delete;
    NetlinkRequest& operator=(const NetlinkRequest&) = delete;

    template <typename T>
    T& extra() {
        return *static_cast<T*>(mnl_nlmsg_put_extra_header(header, sizeof(T)));
    }
};

// Calls `on_attribute(type, attribute)` for every attribute after an extra header of
// `offset` bytes, or inside a nest.
void for_each_attribute(const nlmsghdr& message, std::size_t offset,
                        const std::function<void(int, const nlattr&)>& on_attribute);
void for_each_nested(const nlattr& nest,
                     const std::function<void(int, const nlattr&)>& on_attribute);

// 0 where the attribute is shorter than the number.
std::uint32_t attribute_u32(const nlattr& attribute);
std::uint64_t attribute_u64(const nlattr& attribute);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_KERNEL_NETLINK_H

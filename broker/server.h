// SPDX-License-Identifier: Apache-2.0
// Connections, eventfds and timers around a Membership.
#ifndef SMC_STEER_BROKER_SERVER_H
#define SMC_STEER_BROKER_SERVER_H

#include <map>
#include <memory>
#include <vector>

#include "agent/base/event_loop.h"
#include "broker/listener.h"
#include "broker/membership.h"
#include "broker/region.h"
#include "broker/wire.h"

namespace smc_steer::broker {

class Server {
public:
    // All three must outlive the server.
    Server(EventLoop& loop, Listener& listener, const Region& region, uint32_t vectors);
    ~Server();

    // Adds the server to the loop.
    Result<void> start();

    // Says goodbye in the header. Connections end with the process.
    void stop();

private:
    // A QEMU. The order matters: the event source goes before the socket it watches.
    struct Client {
        uint32_t slot = 0;
        UniqueFd socket;
        std::vector<SharedFd> doorbells;  // by vector, this client's
        Outbox outbox;
        bool lost = false;  // to be dropped by drop_lost()
        EventSource source;
        explicit Client(size_t outbox_capacity) : outbox(outbox_capacity) {}
    };

    void on_connection();
    // Takes the socket over unless it fails.
    Result<void> admit(UniqueFd& socket);
    void on_client(Client& client, uint32_t events);
    void on_doorbell();
    void introduce(Client& client);
    void announce(Client& to, uint32_t id, const std::vector<SharedFd>& doorbells);
    void queue(Client& to, int64_t value, SharedFd fd = nullptr);
    void flush(Client& client);
    void lose(Client& client, const std::string& why);
    // Takes lost clients out and tells the others, which may lose more of them.
    void drop_lost();
    void ring(uint32_t slot);
    void after_change();

    EventLoop& loop_;
    Listener& listener_;
    const Region& region_;
    uint32_t vectors_;
    SharedFd region_fd_;
    SharedFd doorbell_;                                    // guests ring the broker with it
    std::map<uint32_t, std::unique_ptr<Client>> clients_;  // by slot
    Membership membership_;
    std::string shown_status_;
    EventSource listen_source_;
    EventSource doorbell_source_;
    EventSource heartbeat_source_;
    EventSource reclaim_source_;  // active while condemned leases exist
    EventSource accept_pause_;
};

}  // namespace smc_steer::broker

#endif  // SMC_STEER_BROKER_SERVER_H

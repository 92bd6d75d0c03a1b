// SPDX-License-Identifier: Apache-2.0
// One region served: connections, eventfds and timers around a Membership.
#ifndef SMC_STEER_BROKER_SERVER_H
#define SMC_STEER_BROKER_SERVER_H

#include <map>
#include <memory>
#include <set>
#include <vector>

#include "agent/base/event_loop.h"
#include "broker/fd_store.h"
#include "broker/listener.h"
#include "broker/membership.h"
#include "broker/peer_process.h"
#include "broker/rate_limit.h"
#include "broker/region.h"
#include "broker/status.h"

namespace smc_steer::broker {

class Server {
public:
    // All must outlive the server.
    Server(EventLoop& loop, const RegionConfig& config, Listener& listener, Region& region,
           FdStore& store);
    ~Server();

    // Adds the server to the loop; takes over a former broker's members.
    Result<void> start();

    // Says goodbye in the header. Connections end with the process, or stay in the store.
    void stop();

    [[nodiscard]] RegionStatus status() const;

private:
    // A QEMU. The order matters: the event source goes before the socket it watches.
    struct Client {
        uint32_t slot = 0;
        UniqueFd socket;
        PeerProcess process;
        bool lost = false;       // to be dropped by settle()
        bool may_write = false;  // lost, and its QEMU need not know: the slot is held
        EventSource source;
    };
    // Of a held or re-learned slot.
    struct Watched {
        UniqueFd pidfd;
        EventSource source;
    };
    struct Counts {
        uint64_t refused_uid = 0, refused_full = 0, refused_held = 0, refused_error = 0;
        uint64_t violations = 0, rings = 0;
    };

    // start()'s parts
    Result<void> adopt_doorbell();
    void adopt_slot_doorbells(uint32_t slot);
    void adopt_members();
    bool adopt_client(uint32_t slot);
    void relearn(uint32_t slot);
    void look_often();

    void on_connection();
    void pause_accepting();
    // Takes the socket over unless it fails.
    Result<void> admit(UniqueFd& socket);
    Result<void> prepare_doorbells(uint32_t slot);
    Result<void> may_connect(const PeerProcess& process);
    Result<void> watch(Client& client);
    void on_client(Client& client, uint32_t events);
    void on_doorbell();
    void on_tick();

    void flush(Client& client);
    [[nodiscard]] int descriptor_for(const struct Notice& notice) const;
    void lose(Client& client, const std::string& why, bool may_write);
    void drop_lost();
    void watch_process(uint32_t slot);
    void on_process_gone(uint32_t slot);
    void ring(uint32_t slot);
    // After anything: drops the lost, tells all what is new to them.
    void settle();
    void ring_later();

    void keep(const Client& client);
    void forget(const Client& client);
    [[nodiscard]] std::string socket_name(uint32_t slot) const;
    [[nodiscard]] std::string doorbell_name(uint32_t slot, uint32_t vector) const;
    [[nodiscard]] SlotStatus slot_status(uint32_t slot) const;

    EventLoop& loop_;
    const RegionConfig& config_;
    Listener& listener_;
    Region& region_;
    Ledger& ledger_;
    FdStore& store_;
    UniqueFd doorbell_;  // guests ring the broker with it
    // By slot and vector: made when the slot is first used, and its for as long as the region
    // lives.
    std::map<uint32_t, std::vector<UniqueFd>> doorbells_;
    std::map<uint32_t, std::unique_ptr<Client>> clients_;  // by slot
    std::map<uint32_t, Watched> watched_;                  // by slot
    Membership membership_;
    Counts counts_;
    RateLimit log_limit_{64, std::chrono::milliseconds(200)};
    RateLimit repair_log_{4, std::chrono::seconds(10)};
    RateLimit blocked_log_{4, std::chrono::seconds(10)};
    std::set<uint32_t> quiet_;  // LIVE slots whose silence was logged
    bool changed_ = false;      // clients have something to be told
    EventSource listen_source_;
    EventSource doorbell_source_;
    EventSource tick_source_;
    EventSource reclaim_source_;  // active while condemned leases exist
    EventSource late_source_;     // active while somebody has to be rung later
    EventSource look_source_;     // active while there are members that cannot ring us
    EventSource accept_pause_;
};

}  // namespace smc_steer::broker

#endif  // SMC_STEER_BROKER_SERVER_H

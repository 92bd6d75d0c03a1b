// SPDX-License-Identifier: Apache-2.0
// The direct path of a session: looks at the guest's TCP connections, talks with the agents of
// other guests, and has those moved onto shared memory that are worth it (agent/direct/offload.h).
#ifndef SMC_STEER_AGENT_DAEMON_DIRECT_PATH_H
#define SMC_STEER_AGENT_DAEMON_DIRECT_PATH_H

#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/base/event_loop.h"
#include "agent/daemon/config.h"
#include "agent/direct/nonces.h"
#include "agent/direct/offload.h"
#include "agent/direct/wires.h"

namespace smc_steer {

// What it asks of the session.
class DirectHost {
public:
    virtual ~DirectHost() = default;
    // Network namespaces, with an open file of each.
    virtual std::map<ino_t, int> direct_namespaces() = 0;
    virtual Result<std::vector<TcpSocket>> direct_sockets(ino_t netns, TcpDetail detail) = 0;
    // Which guest has published an address; slot 0: none.
    virtual Guest guest_at(const Address& address) = 0;
    virtual std::string why_denied(const Seen& seen) = 0;
    virtual std::optional<Nonce> nonce_of_peer(std::uint32_t slot) = 0;
    // Puts it into our bulletin.
    virtual void publish_nonce(const Nonce& nonce) = 0;
};

class DirectPath : private WireOwner, private OffloadOwner {
public:
    // `device`: path of the ivpci device. `host` outlives it. A kernel without tcp_ivpci is no
    // failure: it may be loaded later, problem() says so.
    static Result<std::unique_ptr<DirectPath>> start(EventLoop& loop, const OffloadConfig& config,
                                                     const std::string& device, DirectHost& host);
    // Leaves what is moved where it is, or brings it back, as `on_exit` says.
    ~DirectPath() override;

    void set_peers(std::uint32_t own_slot, std::uint32_t own_generation,
                   std::map<std::uint32_t, AgentPeer> peers);
    // Of agents' connections to each other.
    bool is_port(std::uint16_t port) const { return ports_.contains(port); }
    bool up(std::uint32_t slot) const { return wires_->up(slot); }
    // Why the agents cannot talk; empty: they can.
    std::string wire_problem(std::uint32_t slot) const { return wires_->problem(slot); }
    // Rules or workloads are other ones.
    void judge();
    // Why nothing can be moved; empty: something can.
    const std::string& problem() const { return problem_; }

    void report_status(nlohmann::json& out) const;
    const Offload::Report* report(std::uint64_t inode) const { return offload_.report(inode); }
    std::string why_not(std::uint64_t inode) const { return offload_.why_not(inode); }
    Offload::Totals totals() const { return offload_.totals(); }

private:
    DirectPath(EventLoop& loop, const OffloadConfig& config, std::uint32_t device,
               DirectHost& host);

    // WireOwner
    std::optional<Nonce> nonce_of(std::uint32_t slot) override;
    void show_nonce() override;
    bool is_ours(const Nonce& nonce) override;
    void on_up(std::uint32_t slot) override;
    void on_down(std::uint32_t slot) override;
    void on_message(std::uint32_t slot, const Message& message) override;
    // OffloadOwner
    std::shared_ptr<const UniqueFd> netns_file(ino_t netns) override;
    std::string why_denied(const Seen& seen) override { return host_.why_denied(seen); }
    const std::vector<Seen>& find_all() override;
    Guest guest(std::uint32_t slot) override;
    void send(std::uint32_t slot, const Message& message) override { wires_->send(slot, message); }
    bool can_talk(std::uint32_t slot) override { return wires_->up(slot); }

    void look();
    void go_on();
    void go_on_soon();
    std::size_t add_sockets(ino_t netns, TcpDetail detail, std::vector<Seen>& all);
    // None: the module is not there, and problem_ says so.
    std::optional<DirectDevice> kernel();

    EventLoop& loop_;
    OffloadConfig config_;
    DirectHost& host_;
    Nonces nonces_;
    Offload offload_;
    std::unique_ptr<Wires> wires_;
    std::map<std::uint32_t, Guest> guests_;                 // those that can be talked to, by slot
    std::set<std::uint16_t> ports_;                         // of wires, theirs and ours
    std::map<ino_t, std::weak_ptr<const UniqueFd>> files_;  // of those with connections of ours
    std::uint64_t next_look_ = 0;                           // by looks_
    std::vector<Seen> all_;                                 // as of all_ns_, addresses only
    std::uint64_t all_ns_ = 0;
    std::uint64_t looks_ = 0;
    unsigned held_up_ = 0;  // looks in a row that left a namespace alone
    std::string problem_;
    EventSource looking_;
    EventSource going_on_;
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_DAEMON_DIRECT_PATH_H

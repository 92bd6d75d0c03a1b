// SPDX-License-Identifier: Apache-2.0
// One connection of a peer to a server of this guest, from accept() to a join.
#ifndef SMC_STEER_AGENT_SPLICE_INCOMING_H
#define SMC_STEER_AGENT_SPLICE_INCOMING_H

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "agent/splice/context.h"
#include "agent/splice/place.h"
#include "agent/splice/wire.h"

namespace smc_steer {

class Incoming : public Poller::Watcher {
public:
    // `wire`: accepted, from `client`, which is known to be a peer's address. `on_end`: called
    // once, inside of a turn or of begin(); joined() says how.
    // `heard`: what came already of a wire that has served another connection; it may take its
    // time.
    Incoming(SpliceContext& context, const Place& place, UniqueFd wire, const Endpoint& client,
             std::optional<std::vector<std::uint8_t>> heard, std::function<void(Incoming&)> on_end);
    ~Incoming() override;
    void begin();
    void on_events(std::uint32_t events) override;
    void tick();

    bool joined() const { return joined_; }
    const Place& place() const { return place_; }
    const Endpoint& client() const { return client_; }
    Join::Kind kind() const { return {form_, form_ == Join::Form::raw || version_ >= kWireDirect}; }
    UniqueFd take_wire() { return std::move(wire_); }
    UniqueFd take_local() { return std::move(local_); }
    // To be called when the connection is over: until then the server may ask who it is with.
    std::function<void()> take_announcement();

private:
    // The connection to the server is another descriptor.
    struct Server : Poller::Watcher {
        explicit Server(Incoming& incoming_in) : incoming(incoming_in) {}
        void on_events(std::uint32_t events) override;
        Incoming& incoming;
    };

    void read_header();
    void on_header(const ProxyHeader& header);
    bool answer(std::uint8_t version, Verdict verdict);
    void connect_server();
    void on_connected();
    void end(bool joined);

    SpliceContext& context_;
    const Place& place_;
    UniqueFd wire_;
    UniqueFd local_;
    Server watcher_;
    Endpoint client_;
    Endpoint server_;
    std::function<void(Incoming&)> on_end_;
    Join::Form form_ = Join::Form::framed;
    std::uint8_t version_ = kWireMost;
    std::vector<std::uint8_t> heard_;
    splice_caller caller_{};
    bool announced_ = false;
    bool joined_ = false;
    bool over_ = false;
    std::uint64_t since_ns_;
    bool reused_;
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_SPLICE_INCOMING_H

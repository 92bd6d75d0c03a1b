// SPDX-License-Identifier: Apache-2.0
// Every network namespace of the guest: SMC's settings in it, its addresses, its statistics.
#ifndef SMC_STEER_AGENT_DAEMON_NAMESPACES_H
#define SMC_STEER_AGENT_DAEMON_NAMESPACES_H

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/base/attempts.h"
#include "agent/base/event_loop.h"
#include "agent/daemon/saved_state.h"
#include "agent/kernel/flows.h"
#include "agent/kernel/netns.h"
#include "agent/kernel/smc_netlink.h"
#include "agent/kernel/smc_sysctls.h"
#include "agent/kernel/smc_totals.h"
#include "agent/peers/own_addresses.h"

namespace smc_steer {

// A namespace is covered from the scan that finds it to the one that does not: our
// descriptor keeps it alive until then, at most a scan's period longer than without us.
class Namespaces {
public:
    // `on_addresses`: some namespace's addresses may have changed.
    // `inherited`: what namespaces had before a predecessor covered them, and its totals.
    // `sysctls`: none where SMC is left alone, or the kernel has none.
    Namespaces(EventLoop& loop, std::optional<SmcSysctls> sysctls, NotPublished left_out,
               SavedState inherited, std::function<void()> on_addresses);

    // Covers what is new, forgets what is gone. Value: did anything change. A namespace that
    // cannot be covered is named in the log once and left alone, unless only room was short.
    bool scan();
    // Puts everything back. What cannot be put back is logged.
    void restore();

    std::size_t size() const { return covered_.size(); }
    // Which ones, with an open file of each.
    std::map<NetnsId, int> covered() const;
    NetnsId own() const { return own_; }
    // Fills in what belongs to namespaces.
    void save(SavedState& state);
    // Of all namespaces, to be published.
    GuestAddresses addresses();
    // Looks at the statistics of a share of the namespaces, in turns: once a second is often
    // enough for the kernel's short counters (smc_totals.h).
    void sample();
    // Looks at those of all namespaces: totals() is of this moment.
    void sample_all();
    // Since start (namespaces that were there) or birth, gone namespaces included, as last looked.
    const SmcTotals& totals() const { return totals_; }

    // TCP connections of one of them; listening ports likewise.
    Result<std::vector<TcpSocket>> sockets(ino_t netns, TcpDetail detail);
    Result<std::set<std::uint16_t>> listening(ino_t netns);

    struct NamedFlow {
        ino_t netns;  // the number in "net:[N]"
        Flow flow;
    };
    // `connections`: descriptor of the BPF map of that name, or -1.
    Result<std::vector<NamedFlow>> flows(const std::function<bool(const Address&)>& same_host,
                                         int connections);

private:
    struct Covered {
        UniqueFd fd;
        SavedSysctls saved;
        std::unique_ptr<SmcNetlink> smc;  // null without sysctls
        std::unique_ptr<DiagSocket> diag;
        std::unique_ptr<OwnAddresses> addresses;
        bool addresses_changed = true;
        std::set<Address> published;  // as of the last change
        std::set<Address> left_out;
        SmcStats seen;
        EventSource news;
    };
    Result<Covered> cover(NetnsId id, UniqueFd fd);
    Result<void> set_up_smc(NetnsId id, Covered& covered);
    DiagSocket* diag_of(ino_t netns);
    void look(Covered& covered);

    EventLoop& loop_;
    std::optional<SmcSysctls> sysctls_;
    NotPublished left_out_;
    NetnsId own_;  // the one the agent is in
    SavedState inherited_;
    std::function<void()> on_addresses_;
    bool first_scan_ = true;
    std::map<NetnsId, Covered> covered_;
    Attempts<NetnsId> attempts_;
    NetnsId sampled_;  // the last one sample() looked at
    SmcTotals totals_;
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_DAEMON_NAMESPACES_H

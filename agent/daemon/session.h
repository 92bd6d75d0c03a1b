// SPDX-License-Identifier: Apache-2.0
// What the agent does while it is active: from a supported kernel and a device to steered
// sockets, and back to the machine as it was.
#ifndef SMC_STEER_AGENT_DAEMON_SESSION_H
#define SMC_STEER_AGENT_DAEMON_SESSION_H

#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "agent/base/event_loop.h"
#include "agent/daemon/config.h"
#include "agent/daemon/direct_path.h"
#include "agent/daemon/handover.h"
#include "agent/daemon/links.h"
#include "agent/daemon/namespaces.h"
#include "agent/daemon/path_choice.h"
#include "agent/daemon/saved_state.h"
#include "agent/kernel/datapath.h"
#include "agent/kernel/decisions.h"
#include "agent/peers/device.h"
#include "agent/peers/same_host.h"
#include "agent/policy/members.h"
#include "agent/policy/rule.h"
#include "agent/policy/steering.h"
#include "agent/workloads/cgroup_watch.h"
#include "agent/workloads/coverage.h"
#include "agent/workloads/cri_pods.h"

namespace smc_steer {

// What a session takes over from the one before.
struct Inheritance {
    UniqueFd device;
    std::string device_path;
    Datapath::OldLinks links;
    InheritedLinks agents;
    SavedState saved;
};

class Session : private DirectHost {
public:
    // `state_path`: where the machine's own settings are written down. `on_lost` is called once,
    // from the loop, when the device has gone; the session is to be destroyed then, but not inside
    // the call. On failure everything is as before.
    static Result<std::unique_ptr<Session>> start(EventLoop& loop, const Config& config,
                                                  const Policy& policy,
                                                  const std::string& state_path,
                                                  Inheritance inherited, Paths paths,
                                                  std::function<void()> on_lost);
    // Undoes in the order that never leaves a steered socket without the rest. Established
    // connections live on.
    ~Session() override;
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    Result<void> set_policy(const Policy& policy);

    // Every decision of the handshake, and pods that come, change and go, until
    // stop_listening().
    Result<void> listen(Decisions::OnDecision on_decision,
                        std::function<void(const nlohmann::json&)> on_pod);
    void stop_listening();

    // The datapath may do without an agent for half a minute.
    Result<void> extend_lease();
    // Lives on under a successor: extends the lease and fills in what Inheritance needs.
    Result<void> prepare_handover(HandoverPlan& plan);

    // Twice a second: the lease, namespaces and cgroups that came and went, and a
    // look at the region in case a doorbell was missed.
    void tick();

    // Reads SMC's counters in all namespaces, for the reports of totals and reasons.
    void refresh_totals() { namespaces_->sample_all(); }

    // Bytes over SMC-D since the session began, as of the last look at SMC's counters.
    struct Moved {
        std::uint64_t sent = 0;
        std::uint64_t received = 0;
    };
    Moved moved() const {
        return {namespaces_->totals().smcd_sent, namespaces_->totals().smcd_received};
    }

    // For the control socket; names are stable, smc-policy --help documents them.
    void report_status(nlohmann::json& out);
    nlohmann::json report_peers() const;
    nlohmann::json report_reasons() const;
    nlohmann::json report_programs() const;
    Result<nlohmann::json> report_flows();
    nlohmann::json report_endpoints() const;
    nlohmann::json report_pods() const;

    const Paths& paths() const { return paths_; }
    bool has_direct() const { return direct_ != nullptr; }
    // One that this guest has published, or would if there were room.
    bool is_own(const Address& address) const { return own_addresses_.contains(address); }
    // Control groups and pods, as last seen; and whose sockets are steered.
    const Machine& machine() const { return machine_; }
    const Steering& steering() const { return steering_; }
    // What else decides about connections with `peer` that take that path: "what", "ok", "text" of
    // each.
    nlohmann::json explain_peer(const Address& peer, Via path);
    // How long this guest's connections to it were, as a step of "explain"; null: nobody asks.
    nlohmann::json explain_lengths(const Address& server, std::uint16_t port) const;

private:
    Session(EventLoop& loop, const Config& config, std::string state_path, Paths paths,
            std::function<void()> on_lost, Device device)
        : loop_(loop),
          config_(config),
          state_path_(std::move(state_path)),
          paths_(paths),
          on_lost_(std::move(on_lost)),
          device_(std::move(device)) {}

    Result<void> bring_up(const Policy& policy, Inheritance inherited);
    Result<void> start_datapath(Inheritance& inherited);
    void leave_smc(Inheritance& inherited);
    Result<void> start_smc(Inheritance& inherited);
    // The direct path's questions (session_direct.cc).
    std::map<ino_t, int> direct_namespaces() override;
    Result<std::vector<TcpSocket>> direct_sockets(ino_t netns, TcpDetail detail) override;
    Guest guest_at(const Address& address) override;
    std::string why_denied(const Seen& seen) override;
    std::optional<Nonce> nonce_of_peer(std::uint32_t slot) override;
    void publish_nonce(const Nonce& nonce) override;
    bool is_server(const Seen& seen);
    std::optional<std::string> cgroup_path(std::uint64_t id);
    bool may_be_command(const Seen& seen, const std::string& command);
    bool belongs(const Seen& seen, const std::string& cgroup, const Workload& workload);
    void update_direct_peers();
    void judge_direct();
    Result<void> publish();
    void watch_namespaces();
    bool is_service(const Address& address) const;
    bool is_wire(const SocketAddresses& addresses) const;
    void guard_services();
    void refresh_guards();
    void scan_namespaces();
    SavedState saved_state();
    void write_state();
    Result<void> add_eid();
    Result<void> renew_lease();
    Machine read_machine() const;
    bool follows_machine() const;
    Result<void> watch_machine();
    Result<void> listen_to_machine();
    std::vector<NewCgroup> look_for_cgroups();
    // `found`: control groups that are new since the last call.
    void follow_machine(const std::vector<NewCgroup>& found);
    void note_coverage(const std::vector<NewCgroup>& found, const std::set<std::uint64_t>& entered);
    void scan_namespaces_soon();
    // Which control groups have got an entry in the map, or another one.
    std::set<std::uint64_t> update_workloads();
    struct PodState {
        const Pod* pod = nullptr;
        std::vector<std::string> cgroups;
        bool steered = false;
    };
    std::vector<PodState> pod_states() const;
    void report_pod_changes();
    void report_workloads(nlohmann::json& out) const;
    void update_addresses();
    void update_peers();
    void update_links(SameHost& wanted);
    void on_device(std::uint32_t events);

    EventLoop& loop_;
    Config config_;
    std::string state_path_;
    Paths paths_;
    std::function<void()> on_lost_;
    Device device_;
    ivpci_info info_{};
    std::unique_ptr<Datapath> datapath_;  // null without the SMC path, as smc_ and links_ are
    std::unique_ptr<Namespaces> namespaces_;
    std::unique_ptr<SmcNetlink> smc_;  // of our own namespace, for the EID
    std::string eid_;
    Machine machine_;                                    // as last seen
    std::vector<NamedWorkload> rule_workloads_;          // of the policy in force
    Steering steering_;                                  // as it is to be
    std::map<std::uint64_t, steer_workload> workloads_;  // as it is in the map
    Coverage coverage_;
    std::unique_ptr<CgroupWatch> cgroups_;
    EventSource cgroups_changed_;
    std::unique_ptr<CriPods> cri_;                   // null: off
    std::map<std::string, NewCgroup> unknown_pods_;  // by path: whose, CRI has not said (yet)
    std::function<void(const nlohmann::json&)> on_pod_;
    std::map<std::string, nlohmann::json> reported_pods_;  // to it
    GuestAddresses guest_addresses_;
    std::set<Address> own_addresses_;  // all of these
    std::set<Address> bulletin_;       // those with room in it
    PeerTable peers_;
    SameHost same_host_;
    std::unique_ptr<DirectPath> direct_;  // null: off
    Nonce nonce_{};
    std::map<ino_t, std::pair<std::uint64_t, std::set<std::uint16_t>>> listening_;  // since when
    std::unordered_map<std::uint64_t, std::string> cgroup_paths_;                   // by id
    std::vector<Pod> judged_pods_;
    PodCgroups pod_cgroups_;  // of judged_pods_
    std::uint64_t cgroup_paths_ns_ = 0;
    std::map<std::uint64_t, std::set<std::string>> commands_;  // of sockets
    std::uint64_t commands_ns_ = 0;
    std::unique_ptr<Links> links_;
    std::shared_ptr<const Policy> policy_;  // in force
    EventSource device_events_;
    std::map<std::string, EventSource> netns_directories_;
    EventSource scan_soon_;
    EventSource device_news_;
    std::string guards_problem_;  // why services are not offered SMC; empty: they are
    std::unique_ptr<Decisions> decisions_;
    EventSource decided_;
    unsigned looks_ = 0;
    bool ready_ = false;  // the first policy is in force, changes of the machine may follow
    bool published_ = false;
    bool addresses_left_out_ = false;
    bool remove_eid_ = false;
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_DAEMON_SESSION_H

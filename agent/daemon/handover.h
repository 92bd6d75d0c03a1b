// SPDX-License-Identifier: Apache-2.0
// What an agent passes to the program it becomes: descriptors that must not close in between,
// because the kernel undoes with them what new connections need. Everything else is made anew
// beside the old and put in its place.
#ifndef SMC_STEER_AGENT_DAEMON_HANDOVER_H
#define SMC_STEER_AGENT_DAEMON_HANDOVER_H

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "agent/base/result.h"
#include "agent/base/unique_fd.h"
#include "agent/daemon/links.h"

namespace smc_steer {

struct Handover {
    UniqueFd lock;      // of the control socket
    UniqueFd listener;  // the control socket
    // The rest is empty where the agent was idle.
    UniqueFd device;  // its file owns the bulletin
    std::string device_path;
    std::vector<UniqueFd> steer;            // links; dropped when the new ones are attached
    std::map<std::string, UniqueFd> flows;  // links by program; get the new programs
    InheritedLinks links;                   // with the agents of peers
    std::uint16_t link_port = 0;            // that their listener has
    nlohmann::json state;                   // SavedState
    int upgrades = 0;
};

// The descriptors' numbers, and what else is to be told.
struct HandoverPlan {
    int lock = -1;
    int listener = -1;
    int device = -1;
    std::string device_path;
    std::vector<int> steer;
    std::map<std::string, int> flows;
    int link_listener = -1;
    std::uint16_t link_port = 0;
    std::vector<Links::Held> links;
    std::uint64_t links_made = 0;
    nlohmann::json state;
    int upgrades = 0;
};

// Becomes `argv` (argv[0] is the program's path), with --resume and a descriptor as its last
// two words. Returns only if that failed; everything is as before then.
Error hand_over(const HandoverPlan& plan, const std::vector<std::string>& argv);

// `descriptor`: --resume's argument. Every number in it is checked to be open.
Result<Handover> receive_handover(const std::string& descriptor);

// Runs `argv` and waits for its end, ten seconds at most. Error: it did not exit with 0, with the
// last line it printed.
Result<void> try_out(const std::vector<std::string>& argv);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_DAEMON_HANDOVER_H

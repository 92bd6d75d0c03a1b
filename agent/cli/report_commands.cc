// SPDX-License-Identifier: Apache-2.0
// smc-policy status, peers, flows: what is going on.
#include "agent/cli/command.h"
#include "agent/cli/render.h"

namespace smc_steer {

void add_report_commands(Commands& commands) {
    commands.add_reader("status", "the agent, its device, and what became of connections",
                        render_status);
    commands.add_reader("peers", "the other guests of this host", render_peers);
    commands.add_reader("flows", "living connections with guests of this host", render_flows);
}

}  // namespace smc_steer

// SPDX-License-Identifier: Apache-2.0
// smc-policy: the program around its commands.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "agent/base/version.h"
#include "agent/cli/command.h"

namespace smc_steer {
namespace {

constexpr const char* kExamples = R"(
Rules hold for connections made from now on, at both ends; ports are the server's. Deny wins
over allow, allow over the default. Rules made here survive restarts, in
policy.d/50-smc-policy.yaml. smc-policy(8) has more.

The names in --json are stable. In status, "connections" counts since the agent started:
  smcd    connections that became SMC-D, at either end
  tcp     TCP connections with guests of this host: not agreed on SMC in the TCP handshake
          (denied port, peer without an agent, program not steered), and those in "failed"
  failed  agreed on SMC in the TCP handshake and fell back to TCP all the same

Exit codes: 0 done, 1 failed or no agent, 2 wrong command line; 'status --brief': 3 idle.

Examples:
  smc-policy status
  smc-policy deny 5432 --comment "short connections"
  smc-policy deny --peers 10.9.0.0/16 --direction out --workload unit:backup.service
  smc-policy check new.yaml && smc-policy diff new.yaml && smc-policy apply new.yaml
  smc-policy explain 10.0.0.1 10.0.0.2:5432
  smc-policy rules --json
  smc-policy flows --watch
  smc-policy reasons)";

int run(int argc, char** argv) {
    CLI::App app{"smc-policy: what smc-agent does, and what it is to do", "smc-policy"};
    app.set_version_flag("--version", std::string("smc-policy ") + kVersion);
    app.footer(kExamples);
    Commands commands(app);
    add_report_commands(commands);
    add_policy_commands(commands);
    add_file_commands(commands);
    add_admin_commands(commands);
    try {
        app.parse(argc, argv);
    } catch (const CLI::Success& e) {
        return app.exit(e);
    } catch (const CLI::RequiredError& e) {
        // CLI11 misses the subcommand before it minds the word that is there instead.
        auto unknown = app.remaining();
        if (app.get_subcommands().empty() && !unknown.empty()) {
            return complain(fmt::format("no command '{}'; see smc-policy --help", unknown.front()),
                            kExitBadUsage);
        }
        return complain(fmt::format("{}; see smc-policy --help", e.what()), kExitBadUsage);
    } catch (const CLI::ParseError& e) {
        return complain(fmt::format("{}; see smc-policy --help", e.what()), kExitBadUsage);
    }
    return commands.run();
}

}  // namespace
}  // namespace smc_steer

int main(int argc, char** argv) { return smc_steer::run(argc, argv); }

// SPDX-License-Identifier: Apache-2.0
// How smc-policy's commands are put together: one file per group, each adds its commands to
// the program's `Commands`.
#ifndef SMC_STEER_AGENT_CLI_COMMAND_H
#define SMC_STEER_AGENT_CLI_COMMAND_H

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace smc_steer {

inline constexpr int kExitFailure = 1;
inline constexpr int kExitBadUsage = 2;
inline constexpr int kExitIdle = 3;  // of status --brief

// "smc-policy: MESSAGE" on stderr; value: `code`.
int complain(const std::string& message, int code);

class Commands {
public:
    // Fills in a command's options; the value is called, after parsing, if it is the one that
    // was typed, and its value is the exit code.
    using Run = std::function<int()>;
    using Define = std::function<Run(CLI::App& command)>;
    using Render = std::function<std::string(const nlohmann::json&)>;

    explicit Commands(CLI::App& app);

    void add(const std::string& name, const std::string& help, const Define& define);
    // A command without options but --json that asks the agent {"cmd":NAME} and prints.
    void add_reader(const std::string& name, const std::string& help, Render render);

    // Asks the agent and prints its answer, as JSON (without "ok") or as `render` makes it.
    int ask_and_print(const nlohmann::json& request, bool as_json, const Render& render) const;
    const std::string& socket() const { return socket_; }

    // Of the command that was typed.
    int run() const;

private:
    struct Command {
        CLI::App* app;
        Run run;
    };
    CLI::App& app_;
    std::string socket_;
    std::vector<Command> commands_;
};

// report_commands.cc: status, peers, pods, flows, reasons, top
void add_report_commands(Commands& commands);
// admin_commands.cc: doctor, bugtool, upgrade, cleanup
void add_admin_commands(Commands& commands);
// policy_commands.cc: rules, allow, deny, remove, explain
void add_policy_commands(Commands& commands);
// file_commands.cc: check, diff, apply
void add_file_commands(Commands& commands);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_CLI_COMMAND_H

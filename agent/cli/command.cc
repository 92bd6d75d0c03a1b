// SPDX-License-Identifier: Apache-2.0
#include "agent/cli/command.h"

#include <fmt/format.h>

#include <cstdio>

#include "agent/cli/client.h"
#include "agent/daemon/control_protocol.h"

namespace smc_steer {

using nlohmann::json;

int complain(const std::string& message, int code) {
    fmt::print(stderr, "smc-policy: {}\n", message);
    return code;
}

Commands::Commands(CLI::App& app) : app_(app), socket_(kDefaultSocket) {
    app.require_subcommand(1);
    app.add_option("--socket", socket_, "the agent's control socket")
        ->capture_default_str()
        ->type_name("PATH");
    app.fallthrough();
}

void Commands::add(const std::string& name, const std::string& help, const Define& define) {
    auto* command = app_.add_subcommand(name, help);
    commands_.push_back({command, define(*command)});
}

void Commands::add_reader(const std::string& name, const std::string& help, Render render) {
    add(name, help, [&](CLI::App& command) -> Run {
        auto as_json = std::make_shared<bool>(false);
        command.add_flag("--json", *as_json, "as JSON");
        return [this, name, as_json, render = std::move(render)] {
            return ask_and_print({{"cmd", name}}, *as_json, render);
        };
    });
}

int Commands::ask_and_print(const json& request, bool as_json, const Render& render) const {
    auto answer = ask(socket_, request);
    if (!answer) {
        return complain(answer.error().message, kExitFailure);
    }
    if (as_json) {
        answer->erase("ok");
        fmt::print("{}\n", answer->dump(2, ' ', false, json::error_handler_t::replace));
    } else {
        fmt::print("{}", render(*answer));
    }
    return 0;
}

int Commands::run() const {
    for (const auto& command : commands_) {
        if (command.app->parsed()) {
            return command.run();
        }
    }
    return complain("no command", kExitBadUsage);
}

}  // namespace smc_steer

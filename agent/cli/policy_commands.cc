// SPDX-License-Identifier: Apache-2.0
// smc-policy rules, allow, deny, remove: the rules in force and changes of them.
#include <fmt/format.h>

#include "agent/cli/command.h"
#include "agent/cli/render.h"
#include "agent/daemon/control_protocol.h"

namespace smc_steer {
namespace {

using nlohmann::json;

void add_writer(Commands& commands, const std::string& name, const std::string& help) {
    commands.add(name, help, [&](CLI::App& command) -> Commands::Run {
        auto ports = std::make_shared<std::string>();
        auto comment = std::make_shared<std::string>();
        command.add_option("ports", *ports, "PORT or PORT-PORT")
            ->required()
            ->type_name("PORT[-PORT]");
        command.add_option("--comment", *comment, "why, for people")->type_name("TEXT");
        return [&commands, name, ports, comment] {
            json request = {{"cmd", name}, {"ports", *ports}, {"comment", *comment}};
            // The agent's own parser judges it: here and there must not differ.
            if (auto good = parse_request(to_line(request)); !good) {
                return complain(good.error().message, kExitBadUsage);
            }
            return commands.ask_and_print(request, false, render_edit);
        };
    });
}

Commands::Run define_remove(Commands& commands, CLI::App& command) {
    auto number = std::make_shared<std::string>();
    command.add_option("number", *number, "as 'smc-policy rules' shows it")
        ->required()
        ->type_name("NUMBER");
    return [&commands, number] {
        json request = {{"cmd", "remove"}, {"number", json::parse(*number, nullptr, false)}};
        if (!parse_request(request.dump(-1, ' ', false, json::error_handler_t::replace))) {
            return complain(fmt::format("'{}' is not a rule's number", *number), kExitBadUsage);
        }
        return commands.ask_and_print(request, false, render_edit);
    };
}

}  // namespace

void add_policy_commands(Commands& commands) {
    commands.add_reader("rules", "the rules in force", render_rules);
    add_writer(commands, "allow", "steer connections to these ports");
    add_writer(commands, "deny", "leave connections to these ports to TCP");
    commands.add("remove", "take back a rule that was made with allow or deny",
                 [&](CLI::App& command) { return define_remove(commands, command); });
}

}  // namespace smc_steer

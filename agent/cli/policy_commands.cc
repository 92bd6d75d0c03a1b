// SPDX-License-Identifier: Apache-2.0
// smc-policy rules, allow, deny, remove, explain: the rules in force and changes of them.
#include <fmt/format.h>

#include <optional>

#include "agent/cli/command.h"
#include "agent/cli/render.h"
#include "agent/cli/render_policy.h"
#include "agent/daemon/control_protocol.h"

namespace smc_steer {
namespace {

using nlohmann::json;

void add_writer(Commands& commands, const std::string& name, const std::string& help) {
    commands.add(name, help, [&](CLI::App& command) -> Commands::Run {
        struct Options {
            std::string ports, direction, peers, workload, via, comment;
        };
        auto options = std::make_shared<Options>();
        command
            .add_option("ports", options->ports, "of the server: PORT or PORT-PORT, with commas")
            ->type_name("PORTS");
        command
            .add_option("--direction", options->direction, "out: we connect; in: we are the server")
            ->type_name("out|in|both");
        command
            .add_option("--peers", options->peers,
                        "the other end: addresses or networks, with commas")
            ->type_name("CIDR");
        command
            .add_option("--workload", options->workload,
                        "our end: cgroup:PATH, unit:NAME, container:ID, pod:NAMESPACE/NAME, "
                        "namespace:NAME, label:KEY=VALUE, uid:N, netns:NAME or command:NAME")
            ->type_name("KIND:VALUE");
        if (name == "allow") {
            command
                .add_option("--via", options->via,
                            "the path that takes them, and the other one does not")
                ->type_name("smc|direct");
        }
        command.add_option("--comment", options->comment, "why, for people")->type_name("TEXT");
        return [&commands, name, options] {
            json request = {{"cmd", name},
                            {"ports", options->ports},
                            {"direction", options->direction},
                            {"peers", options->peers},
                            {"workload", options->workload},
                            {"comment", options->comment}};
            // An agent from before this key would refuse it.
            if (!options->via.empty()) {
                request["via"] = options->via;
            }
            // The agent's own parser judges it: here and there must not differ.
            if (auto good = parse_request(to_line(request)); !good) {
                return complain(good.error().message, kExitBadUsage);
            }
            return commands.ask_and_print(request, false, render_edit);
        };
    });
}

// "10.0.0.1:80", "[fd00::1]:80" -> address and port
std::optional<std::pair<std::string, std::string>> split_endpoint(const std::string& text) {
    auto colon = text.rfind(':');
    if (colon == std::string::npos || colon == 0) {
        return std::nullopt;
    }
    auto address = text.substr(0, colon);
    bool bracketed = address.front() == '[' && address.back() == ']';
    if (bracketed) {
        address = address.substr(1, address.size() - 2);
    }
    // fd00::1 alone must not be taken for fd00: and port 1.
    if (address.find(':') != std::string::npos && !bracketed) {
        return std::nullopt;
    }
    return std::pair{address, text.substr(colon + 1)};
}

Commands::Run define_explain(Commands& commands, CLI::App& command) {
    struct Options {
        std::string source, destination, workload;
        bool as_json = false;
    };
    auto options = std::make_shared<Options>();
    command.add_option("source", options->source, "the client's address")
        ->required()
        ->type_name("SRC");
    command.add_option("destination", options->destination, "the server's, such as 10.0.0.2:6379")
        ->required()
        ->type_name("DST:PORT");
    command.add_option("--workload", options->workload, "whose socket is at this guest's end")
        ->type_name("KIND:VALUE");
    command.add_flag("--json", options->as_json, "as JSON");
    return [&commands, options] {
        auto endpoint = split_endpoint(options->destination);
        if (!endpoint) {
            return complain(
                fmt::format("'{}' is not ADDRESS:PORT: write 10.0.0.2:80 or [fd00::2]:80",
                            options->destination),
                kExitBadUsage);
        }
        auto port = parse_port_range(endpoint->second);
        if (!port || port->first != port->last) {
            return complain(
                port ? fmt::format("'{}' is not one port", endpoint->second) : port.error().message,
                kExitBadUsage);
        }
        json request = {{"cmd", "explain"},
                        {"source", options->source},
                        {"destination", endpoint->first},
                        {"port", port->first},
                        {"workload", options->workload}};
        if (auto good = parse_request(to_line(request)); !good) {
            return complain(good.error().message, kExitBadUsage);
        }
        return commands.ask_and_print(request, options->as_json, render_explain);
    };
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
    add_writer(commands, "allow", "steer these connections");
    add_writer(commands, "deny", "leave these connections to TCP");
    commands.add("explain", "what will become of a connection, and why",
                 [&](CLI::App& command) { return define_explain(commands, command); });
    commands.add("remove", "take back a rule that was made with allow or deny",
                 [&](CLI::App& command) { return define_remove(commands, command); });
}

}  // namespace smc_steer

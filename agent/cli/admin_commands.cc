// SPDX-License-Identifier: Apache-2.0
// smc-policy doctor, bugtool, upgrade, cleanup: for whoever runs the machine.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>
#include <thread>

#include "agent/cli/bugtool.h"
#include "agent/cli/client.h"
#include "agent/cli/command.h"
#include "agent/cli/doctor.h"
#include "agent/daemon/cleanup.h"
#include "agent/daemon/control_protocol.h"

namespace smc_steer {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

Commands::Run define_doctor(Commands& commands, CLI::App& command) {
    auto as_json = std::make_shared<bool>(false);
    command.add_flag("--json", *as_json, "as JSON");
    return [&commands, as_json] {
        auto findings = diagnose(collect_facts(commands.socket()));
        fmt::print("{}",
                   *as_json ? findings_json(findings).dump(2) + "\n" : render_findings(findings));
        return findings_exit_code(findings);
    };
}

Commands::Run define_bugtool(Commands& commands, CLI::App& command) {
    auto path = std::make_shared<std::string>();
    command.add_option("file", *path, "to write; must not exist (smc-steer-TIME.tar.gz)")
        ->type_name("FILE");
    return [&commands, path] {
        if (path->empty()) {
            *path = fmt::format("smc-steer-{:%Y%m%d-%H%M%S}.tar.gz",
                                fmt::localtime(std::time(nullptr)));
        }
        if (auto done = write_bug_report(*path, commands.socket()); !done) {
            return complain(done.error().message, kExitFailure);
        }
        fmt::print("{}: rules, addresses and logs are in it; look before you send it\n", *path);
        return 0;
    };
}

// The agent has said yes; now it has to come back as its successor.
int await_successor(const std::string& socket, int upgrades_before) {
    std::string last = "it does not answer";
    for (auto deadline = std::chrono::steady_clock::now() + 30s;
         std::chrono::steady_clock::now() < deadline; std::this_thread::sleep_for(50ms)) {
        auto status = ask(socket, {{"cmd", "status"}});
        if (!status) {
            last = status.error().message;
            continue;
        }
        auto process = status->value("process", json::object());
        if (process.value("upgrades", 0) > upgrades_before) {
            fmt::print("smc-agent {} is {}\n", status->value("agent", "?"),
                       status->value("state", "?"));
            return 0;
        }
        last = "the old one is still there: " + status->value("last_complaint", "");
    }
    return complain("the upgrade did not happen: " + last, kExitFailure);
}

Commands::Run define_upgrade(Commands& commands, CLI::App& command) {
    auto binary = std::make_shared<std::string>();
    command.add_option("binary", *binary, "the new smc-agent; else what is at the old one's path")
        ->type_name("PATH");
    return [&commands, binary] {
        json request = {{"cmd", "upgrade"}};
        if (!binary->empty()) {
            request["binary"] = *binary;
        }
        if (auto good = parse_request(request.dump(-1, ' ', false, json::error_handler_t::replace));
            !good) {
            return complain(good.error().message, kExitBadUsage);
        }
        // The agent has tried the new program before it answers, which takes what the machine
        // leaves it.
        auto answer = ask(commands.socket(), request, 60s);
        if (!answer) {
            return complain(answer.error().message, kExitFailure);
        }
        return await_successor(commands.socket(), answer->value("upgrades", 0));
    };
}

Commands::Run define_cleanup(Commands& commands, CLI::App& /*command*/) {
    return [&commands] {
        auto did = clean_up(commands.socket());
        if (!did) {
            return complain(did.error().message, kExitFailure);
        }
        for (const auto& line : *did) {
            fmt::print("{}\n", line);
        }
        if (did->empty()) {
            fmt::print("there was nothing to clean up\n");
        }
        return 0;
    };
}

}  // namespace

void add_admin_commands(Commands& commands) {
    commands.add("doctor", "what this machine lacks, and what to do about it",
                 [&](CLI::App& command) { return define_doctor(commands, command); });
    commands.add("bugtool", "collect what a bug report needs into one tar.gz",
                 [&](CLI::App& command) { return define_bugtool(commands, command); });
    commands.add("upgrade", "make the running agent the installed one, connections untouched",
                 [&](CLI::App& command) { return define_upgrade(commands, command); });
    commands.add("cleanup", "take back what a killed agent left; rules stay",
                 [&](CLI::App& command) { return define_cleanup(commands, command); });
}

}  // namespace smc_steer

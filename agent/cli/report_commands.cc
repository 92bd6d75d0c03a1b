// SPDX-License-Identifier: Apache-2.0
// smc-policy status, peers, pods, flows, reasons, monitor, top: what is going on.
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "agent/cli/client.h"
#include "agent/cli/command.h"
#include "agent/cli/render.h"
#include "agent/cli/top.h"
#include "agent/cli/watch.h"

namespace smc_steer {
namespace {

using nlohmann::json;

std::string json_line(json answer) {
    if (answer.is_object()) {
        answer.erase("ok");
    }
    return answer.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

Commands::Run define_status(Commands& commands, CLI::App& command) {
    auto as_json = std::make_shared<bool>(false);
    auto brief = std::make_shared<bool>(false);
    command.add_flag("--json", *as_json, "as JSON");
    command.add_flag("--brief", *brief, "one line; exit code 0 active, 3 idle, 1 no agent");
    return [&commands, as_json, brief] {
        if (!*brief) {
            return commands.ask_and_print({{"cmd", "status"}}, *as_json, render_status);
        }
        auto answer = ask(commands.socket(), {{"cmd", "status"}});
        if (!answer) {
            return complain(answer.error().message, kExitFailure);
        }
        fmt::print("{}", *as_json ? json_line(*answer) : render_status_brief(*answer));
        return answer->value("state", "") == "active" ? 0 : kExitIdle;
    };
}

Commands::Run define_flows(Commands& commands, CLI::App& command) {
    auto as_json = std::make_shared<bool>(false);
    auto period = std::make_shared<std::string>();
    command.add_flag("--json", *as_json, "as JSON; with --watch one line each time");
    auto* option = command.add_option("--watch", *period, "again every SECONDS (1)")
                       ->expected(0, 1)
                       ->type_name("SECONDS");
    return [&commands, as_json, period, option] {
        json request = {{"cmd", "flows"}};
        if (option->count() == 0) {
            return commands.ask_and_print(request, *as_json, render_flows);
        }
        auto seconds = parse_seconds(period->empty() || *period == "true" ? "1" : *period);
        if (!seconds) {
            return complain("--watch: " + seconds.error().message, kExitBadUsage);
        }
        return watch(*seconds, [&]() -> Result<std::string> {
            auto answer = ask(commands.socket(), request);
            if (!answer) {
                return tl::unexpected(answer.error());
            }
            return *as_json ? json_line(*answer) : render_flows(*answer);
        });
    };
}

std::size_t terminal_rows() {
    winsize size{};
    constexpr std::size_t kHeader = 6;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > kHeader) {
        return size.ws_row - kHeader;
    }
    return 20;
}

Commands::Run define_top(Commands& commands, CLI::App& command) {
    auto period = std::make_shared<std::string>("1");
    command.add_option("--period", *period, "between two looks")
        ->capture_default_str()
        ->type_name("SECONDS");
    return [&commands, period] {
        auto seconds = parse_seconds(*period);
        if (!seconds) {
            return complain("--period: " + seconds.error().message, kExitBadUsage);
        }
        Top top;
        auto last = std::chrono::steady_clock::now();
        return watch(*seconds, [&]() -> Result<std::string> {
            auto status = ask(commands.socket(), {{"cmd", "status"}});
            auto flows = ask(commands.socket(), {{"cmd", "flows"}});
            if (!status || !flows) {
                return tl::unexpected(status ? flows.error() : status.error());
            }
            auto now = std::chrono::steady_clock::now();
            auto since = std::chrono::duration<double>(now - last).count();
            last = now;
            return top.render(*status, *flows, since, terminal_rows());
        });
    };
}

Commands::Run define_monitor(Commands& commands, CLI::App& command) {
    auto as_json = std::make_shared<bool>(false);
    command.add_flag("--json", *as_json, "one object per line");
    return [&commands, as_json] {
        auto why = listen(commands.socket(), {{"cmd", "monitor"}}, [&](const json& line) {
            fmt::print("{}", *as_json ? json_line(line) : render_decision(line));
            if (std::fflush(stdout) != 0) {
                std::exit(kExitFailure);  // nobody reads on
            }
        });
        return complain(why.message, kExitFailure);
    };
}

}  // namespace

void add_report_commands(Commands& commands) {
    commands.add("status", "the agent, its device, and what became of connections",
                 [&](CLI::App& command) { return define_status(commands, command); });
    commands.add_reader("peers", "the other guests of this host", render_peers);
    commands.add("flows", "living connections with guests of this host",
                 [&](CLI::App& command) { return define_flows(commands, command); });
    commands.add_reader("pods", "the pods that container runtimes tell of, and which are steered",
                        render_pods);
    commands.add_reader("endpoints", "where our connections go, and which are too short for SMC",
                        render_endpoints);
    commands.add_reader("reasons", "why steered sockets became TCP, by SMC's own codes",
                        render_reasons);
    commands.add("monitor", "decisions about SYNs as they are made, and the rules behind them",
                 [&](CLI::App& command) { return define_monitor(commands, command); });
    commands.add("top", "the busiest connections, live",
                 [&](CLI::App& command) { return define_top(commands, command); });
}

}  // namespace smc_steer

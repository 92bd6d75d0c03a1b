// SPDX-License-Identifier: Apache-2.0
// smc-policy: flags and exit codes.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <functional>

#include "agent/base/version.h"
#include "agent/cli/client.h"
#include "agent/cli/render.h"
#include "agent/daemon/control_protocol.h"

namespace smc_steer {
namespace {

using nlohmann::json;

constexpr const char* kExamples = R"(
Rules are judged by the server's port, for connections made from now on. Deny wins over
allow, allow over the default. Rules made here survive restarts, in
policy.d/50-smc-policy.yaml.

The names in --json are stable. In status, "connections" counts since the agent started:
  smcd    connections that became SMC-D, at either end
  tcp     TCP connections with guests of this host: not agreed on SMC in the TCP handshake
          (denied port, peer without an agent, program not steered), and those in "failed"
  failed  agreed on SMC in the TCP handshake and fell back to TCP all the same

Exit codes: 0 done, 1 failed or no agent, 2 wrong command line.

Examples:
  smc-policy status
  smc-policy deny 5432 --comment "short connections"
  smc-policy allow 8000-8100
  smc-policy rules --json
  smc-policy flows)";

constexpr int kFailed = 1;
constexpr int kUsage = 2;

int complain(const std::string& message, int code) {
    fmt::print(stderr, "smc-policy: {}\n", message);
    return code;
}

using Render = std::function<std::string(const json&)>;

int ask_and_print(const std::string& socket, const json& request, bool as_json,
                  const Render& render) {
    auto answer = ask(socket, request);
    if (!answer) {
        return complain(answer.error().message, kFailed);
    }
    if (as_json) {
        answer->erase("ok");
        fmt::print("{}\n", answer->dump(2, ' ', false, json::error_handler_t::replace));
    } else {
        fmt::print("{}", render(*answer));
    }
    return 0;
}

int run(int argc, char** argv) {
    CLI::App app{"smc-policy: what smc-agent does, and what it is to do", "smc-policy"};
    app.require_subcommand(1);
    app.set_version_flag("--version", std::string("smc-policy ") + kVersion);
    app.footer(kExamples);
    std::string socket = kDefaultSocket;
    app.add_option("--socket", socket, "the agent's control socket")
        ->capture_default_str()
        ->type_name("PATH");
    app.fallthrough();

    bool as_json = false;
    struct Reader {
        const char* name;
        const char* help;
        Render render;
    };
    const Reader readers[] = {
        {"status", "the agent, its device, and what became of connections", render_status},
        {"peers", "the other guests of this host", render_peers},
        {"rules", "the rules in force", render_rules},
        {"flows", "living connections with guests of this host", render_flows},
    };
    for (const auto& reader : readers) {
        app.add_subcommand(reader.name, reader.help)->add_flag("--json", as_json, "as JSON");
    }

    std::string ports, comment;
    for (const auto& [name, help] :
         {std::pair{"allow", "steer connections to these ports"},
          std::pair{"deny", "leave connections to these ports to TCP"}}) {
        auto* writer = app.add_subcommand(name, help);
        writer->add_option("ports", ports, "PORT or PORT-PORT")
            ->required()
            ->type_name("PORT[-PORT]");
        writer->add_option("--comment", comment, "why, for people")->type_name("TEXT");
    }
    std::string number;
    app.add_subcommand("remove", "take back a rule that was made with allow or deny")
        ->add_option("number", number, "as 'smc-policy rules' shows it")
        ->required()
        ->type_name("NUMBER");
    try {
        app.parse(argc, argv);
    } catch (const CLI::Success& e) {
        return app.exit(e);
    } catch (const CLI::RequiredError& e) {
        // CLI11 misses the subcommand before it minds the word that is there instead.
        auto unknown = app.remaining();
        if (app.get_subcommands().empty() && !unknown.empty()) {
            return complain(fmt::format("no command '{}'; see smc-policy --help", unknown.front()),
                            kUsage);
        }
        return complain(fmt::format("{}; see smc-policy --help", e.what()), kUsage);
    } catch (const CLI::ParseError& e) {
        return complain(fmt::format("{}; see smc-policy --help", e.what()), kUsage);
    }

    std::string command = app.get_subcommands().front()->get_name();
    for (const auto& reader : readers) {
        if (command == reader.name) {
            return ask_and_print(socket, {{"cmd", command}}, as_json, reader.render);
        }
    }
    if (command == "remove") {
        // The agent's own parser judges it: here and there must not differ.
        json request = {{"cmd", command}, {"number", json::parse(number, nullptr, false)}};
        if (!parse_request(request.dump(-1, ' ', false, json::error_handler_t::replace))) {
            return complain(fmt::format("'{}' is not a rule's number", number), kUsage);
        }
        return ask_and_print(socket, request, false, render_edit);
    }
    json request = {{"cmd", command}, {"ports", ports}, {"comment", comment}};
    auto good = parse_request(to_line(request));
    if (!good) {
        return complain(good.error().message, kUsage);
    }
    return ask_and_print(socket, request, false, render_edit);
}

}  // namespace
}  // namespace smc_steer

int main(int argc, char** argv) { return smc_steer::run(argc, argv); }

// SPDX-License-Identifier: Apache-2.0
// smc-node-label: flags, environment, signals.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdlib>
#include <ctime>

#include "agent/base/log.h"
#include "agent/base/version.h"
#include "agent/kubernetes/node_label.h"

namespace smc_steer {
namespace {

std::string variable(const char* name) {
    const char* value = getenv(name);
    return value != nullptr ? value : "";
}

// As kubelet tells every container.
std::string api_address() {
    auto host = variable("KUBERNETES_SERVICE_HOST");
    auto port = variable("KUBERNETES_SERVICE_PORT");
    if (host.empty() || port.empty()) {
        return "";
    }
    bool v6 = host.find(':') != std::string::npos;
    return fmt::format("https://{}{}{}:{}", v6 ? "[" : "", host, v6 ? "]" : "", port);
}

int usage_error(const std::string& message) {
    fmt::print(stderr, "smc-node-label: {}\n", message);
    return 2;
}

int run(int argc, char** argv) {
    NodeLabelOptions options;
    int interval = 10;
    CLI::App app{"smc-node-label: keeps smc-steer.io/smc-d=ready on the node of an agent that is",
                 "smc-node-label"};
    app.add_option("--agent", options.agent, "where the agent serves /readyz")
        ->capture_default_str();
    app.add_option("--interval", interval, "seconds between two looks")
        ->check(CLI::Range(1, 3600))
        ->capture_default_str();
    app.add_option("--secrets", options.secrets, "directory with token and ca.crt")
        ->capture_default_str();
    app.set_version_flag("--version", std::string("smc-node-label ") + kVersion);
    app.footer("The node is $NODE_NAME, the API server $KUBERNETES_SERVICE_HOST and _PORT.");
    try {
        app.parse(argc, argv);
    } catch (const CLI::Success& e) {
        return app.exit(e);
    } catch (const CLI::ParseError& e) {
        return usage_error(fmt::format("{}; see smc-node-label --help", e.what()));
    }
    options.node = variable("NODE_NAME");
    if (!is_node_name(options.node)) {
        return usage_error(fmt::format("$NODE_NAME is no name of a node: '{}'", options.node));
    }
    options.api = api_address();
    if (options.api.empty()) {
        return usage_error(
            "$KUBERNETES_SERVICE_HOST or $KUBERNETES_SERVICE_PORT is not set: is this a pod?");
    }
    log_init("smc-node-label", spdlog::level::info);

    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, nullptr);
    NodeLabel label(options);
    std::string trouble;
    do {
        auto told = label.tick(std::chrono::steady_clock::now());
        if (!told && told.error().message != trouble) {
            trouble = told.error().message;
            spdlog::error("{}", trouble);
        } else if (told && *told) {
            trouble.clear();
            spdlog::info("node {} is {}", options.node,
                         label.ready() ? "labelled ready" : "without the label");
        }
        timespec pause{interval, 0};
        if (sigtimedwait(&signals, nullptr, &pause) > 0) {
            break;
        }
    } while (true);
    if (auto done = label.remove(); !done) {
        spdlog::error("the label stays: {}", done.error().message);
        return 1;
    }
    return 0;
}

}  // namespace
}  // namespace smc_steer

int main(int argc, char** argv) { return smc_steer::run(argc, argv); }

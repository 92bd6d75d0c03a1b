// SPDX-License-Identifier: Apache-2.0
// smc-device-plugin: flags, signals.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <ctime>

#include "agent/base/log.h"
#include "agent/base/version.h"
#include "agent/kubernetes/device_plugin.h"

namespace smc_steer {
namespace {

int run(int argc, char** argv) {
    DevicePluginOptions options;
    CLI::App app{"smc-device-plugin: has kubelet give pods the ivpci device of a node",
                 "smc-device-plugin"};
    app.add_option("--resource", options.resource, "what pods ask for")->capture_default_str();
    app.add_option("--kubelet", options.directory, "kubelet's directory of device plugins")
        ->capture_default_str()
        ->type_name("DIR");
    app.add_option("--dev", options.dev, "the node's /dev")
        ->capture_default_str()
        ->type_name("DIR");
    app.set_version_flag("--version", std::string("smc-device-plugin ") + kVersion);
    try {
        app.parse(argc, argv);
    } catch (const CLI::Success& e) {
        return app.exit(e);
    } catch (const CLI::ParseError& e) {
        fmt::print(stderr, "smc-device-plugin: {}; see smc-device-plugin --help\n", e.what());
        return 2;
    }
    log_init("smc-device-plugin", spdlog::level::info);

    // Before gRPC makes its threads: none of them is to get these.
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, nullptr);
    DevicePlugin plugin(options);
    std::string trouble;
    do {
        auto registered = plugin.tick();
        if (!registered && registered.error().message != trouble) {
            trouble = registered.error().message;
            spdlog::error("{}", trouble);
        } else if (registered && *registered) {
            trouble.clear();
            spdlog::info("kubelet knows {}", options.resource);
        }
        timespec second{1, 0};
        if (sigtimedwait(&signals, nullptr, &second) > 0) {
            return 0;
        }
    } while (true);
}

}  // namespace
}  // namespace smc_steer

int main(int argc, char** argv) { return smc_steer::run(argc, argv); }

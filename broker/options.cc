// SPDX-License-Identifier: Apache-2.0
#include "broker/options.h"

#include <CLI/CLI.hpp>

#include "agent/base/text.h"
#include "agent/base/version.h"

namespace smc_steer::broker {
namespace {

constexpr const char* kFooter = R"(
Sizes take K, M and G (powers of 1024). The region is memory that the guests use on demand: a large
one costs nothing until it is used.

Examples:
  ivpci-broker --socket /run/ivpci/blue.sock
      a region of 256 MiB for 16 guests; give each guest
      -chardev socket,path=/run/ivpci/blue.sock,id=ivpci
      -device ivshmem-doorbell,chardev=ivpci,vectors=4
  ivpci-broker --socket /run/ivpci/blue.sock --size 2G --slots 32 --mode 0660
      more memory, more guests, and QEMU may run under the socket's group
  ivpci-broker --config /etc/ivpci/broker.yaml --control /run/ivpci/control
      a region per tenant; ivpci-broker status shows them

Exit codes: 0 asked to end, 1 something failed, 2 bad command line or the socket cannot be had.)";

// What --size 3M and size: 3M say is the same but for the name.
template <class T>
Result<T> of_flag(const char* flag, Result<T> result) {
    return std::move(result).map_error([&](Error error) {
        error.message.insert(0, fmt::format("{} ", flag));
        return error;
    });
}

}  // namespace

Result<Command> parse_options(std::vector<std::string> arguments,
                              const std::string& runtime_directory) {
    Options options;
    StatusCommand status;
    std::string size = "256M";
    uint32_t slots = kDefaultSlots;
    std::string mode = "0600";
    std::string log_level = "info";
    const std::string control =
        (runtime_directory.empty() ? "/run/ivpci" : runtime_directory) + "/control";
    if (!runtime_directory.empty()) {
        options.control = control;
    }
    status.control = control;

    CLI::App app{
        "Hands the virtual machines of one host a shared memory and each other's doorbells.",
        "ivpci-broker"};
    auto* config =
        app.add_option("--config", options.config, "YAML file with any number of regions")
            ->type_name("FILE");
    std::vector<CLI::Option*> of_one_region;
    auto region_option = [&](auto name, auto& value, auto text, auto type) {
        of_one_region.push_back(
            app.add_option(name, value, text)->type_name(type)->excludes(config));
        return of_one_region.back();
    };
    region_option("--socket", options.region.socket, "UNIX socket to serve QEMU on", "PATH");
    region_option("--size", size, "bytes of shared memory, a power of two", "SIZE")
        ->capture_default_str();
    region_option("--slots", slots, "guests at most", "N")
        ->check(CLI::Range(1, IVPCI_SLOTS_MAX))
        ->capture_default_str();
    region_option("--vectors", options.region.vectors, "interrupt vectors per guest", "N")
        ->check(CLI::Range(1, IVPCI_VECTORS_MAX))
        ->capture_default_str();
    region_option("--mode", mode, "permissions of the socket: who may connect is a member", "OCTAL")
        ->capture_default_str();
    app.add_option("--state-dir", options.state_dir,
                   "keep regions in files here (tmpfs or hugetlbfs): a successor goes on with them")
        ->type_name("DIR");
    app.add_option("--control", options.control, "UNIX socket for ivpci-broker status")
        ->type_name("PATH");
    app.add_option("--metrics", options.metrics, "serve Prometheus text on this TCP address")
        ->type_name("ADDR:PORT");
    app.add_option("--pid-file", options.pid_file, "write the process id here")->type_name("PATH");
    app.add_option("--log-level", log_level, "trace, debug, info, warn, error, critical or off")
        ->type_name("LEVEL")
        ->capture_default_str();
    app.set_version_flag("--version", std::string("ivpci-broker ") + kVersion);
    auto* show = app.add_subcommand("status", "show the regions of a running broker");
    show->add_option("--control", status.control, "the broker's control socket")
        ->type_name("PATH")
        ->capture_default_str();
    show->add_flag("--json", status.json, "for programs");
    app.footer(kFooter);

    try {
        std::reverse(arguments.begin(), arguments.end());  // as CLI11 wants a vector
        app.parse(arguments);
    } catch (const CLI::CallForVersion& version) {
        return Information{std::string(version.what()) + "\n"};
    } catch (const CLI::CallForHelp&) {
        return Information{(show->parsed() ? show : &app)->help()};
    } catch (const CLI::ParseError& error) {
        // CLI11 words some of its messages over several lines.
        return fail("{} (see ivpci-broker --help)", one_line(error.what()));
    }
    if (show->parsed()) {
        return status;
    }
    // Not CLI11's required(): it would hide a misspelt flag behind "--socket is required".
    if (options.config.empty() && options.region.socket.empty()) {
        return fail("--socket PATH or --config FILE is missing (see ivpci-broker --help)");
    }
    auto bytes = of_flag("--size", parse_size(size));
    if (!bytes) {
        return forward_error(std::move(bytes));
    }
    auto layout = of_flag("--size", make_layout(*bytes, slots));
    if (!layout) {
        return forward_error(std::move(layout));
    }
    options.region.layout = *layout;
    auto bits = of_flag("--mode", parse_mode(mode));
    if (!bits) {
        return forward_error(std::move(bits));
    }
    options.region.mode = *bits;
    auto level = parse_log_level(log_level);
    if (!level) {
        return forward_error(std::move(level));
    }
    options.log_level = *level;
    return options;
}

}  // namespace smc_steer::broker

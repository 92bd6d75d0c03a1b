// SPDX-License-Identifier: Apache-2.0
// smc-agent: flags, signals, exit codes.
#include <fmt/format.h>
#include <smc_steer/version.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/log.h"
#include "agent/base/version.h"
#include "agent/daemon/agent.h"
#include "agent/daemon/files.h"
#include "agent/daemon/handover.h"
#include "agent/kernel/features.h"
#include "agent/kernel/pins.h"
#include "agent/kernel/smc_bounds.h"

namespace smc_steer {
namespace {

constexpr const char* kExamples = R"(
Without a configuration or policy file the defaults hold: the first ivpci device, 1MiB
buffers, every program, every port but 22.

Exit codes: 0 stopped by a signal, 1 failed, 2 wrong flag, configuration or policy,
3 the kernel or the device is missing (unless the configuration says
'when_unsupported: idle').

Examples:
  smc-agent                                   as the systemd unit does
  smc-agent --check --policy ./policy.yaml    is this policy good?
  smc-agent --log-level debug                 what is it doing?
  smc-policy status                           what has it done?)";

struct Flags {
    std::string config = "/etc/smc-steer/agent.yaml";
    std::string policy = "/etc/smc-steer/policy.yaml";
    std::string socket = kDefaultSocket;
    std::string log_level = "info";
    std::string resume;
    bool check = false;
    bool check_upgrade = false;
    bool config_named = false;
    bool policy_named = false;
};

int complain(const std::string& message, int code) {
    fmt::print(stderr, "smc-agent: {}\n", message);
    return code;
}

int usage_error(const std::string& message) { return complain(message, kExitUsage); }

// Value: go on; error: the exit code.
tl::expected<Flags, int> parse_flags(int argc, char** argv) {
    Flags flags;
    CLI::App app{"smc-agent: TCP between guests of one host through shared memory", "smc-agent"};
    auto* config = app.add_option("--config", flags.config, "configuration file")
                       ->capture_default_str()
                       ->type_name("FILE");
    auto* policy =
        app.add_option("--policy", flags.policy, "policy file; policy.d/*.yaml beside it count too")
            ->capture_default_str()
            ->type_name("FILE");
    app.add_option("--socket", flags.socket, "control socket")
        ->capture_default_str()
        ->type_name("PATH");
    app.add_option("--log-level", flags.log_level,
                   "trace, debug, info, warn, error, critical or off")
        ->capture_default_str()
        ->type_name("LEVEL");
    app.add_flag("--check", flags.check, "check configuration and policy, then exit");
    app.add_flag("--check-upgrade", flags.check_upgrade,
                 "could this program take over from a running smc-agent? Then exit");
    // Of an agent that becomes this program ('smc-policy upgrade'); not for people.
    app.add_option("--resume", flags.resume)->group("");
    app.set_version_flag("--version", std::string("smc-agent ") + kVersion);
    app.footer(kExamples);
    try {
        app.parse(argc, argv);
    } catch (const CLI::Success& e) {
        return tl::unexpected(app.exit(e));
    } catch (const CLI::ParseError& e) {
        return tl::unexpected(usage_error(fmt::format("{}; see smc-agent --help", e.what())));
    }
    flags.config_named = config->count() > 0;
    flags.policy_named = policy->count() > 0;
    return flags;
}

Result<Config> load_config(const Flags& flags) {
    auto text = read_file(flags.config);
    if (!text) {
        return tl::unexpected(text.error());
    }
    if (!*text && flags.config_named) {
        return fail("{}: no such file", flags.config);
    }
    return parse_config(text->value_or(""), flags.config);
}

int check(const PolicyPaths& paths) {
    auto policy = load_policy(paths);
    if (!policy) {
        return usage_error(policy.error().message);
    }
    fmt::print("configuration and policy are good: default {}, {} rules\n",
               to_string(policy->default_action), policy->rules.size());
    return 0;
}

// A handful per network namespace, and there can be thousands of them.
void raise_descriptor_limit() {
    // More than a service manager may have thought of, where we are allowed to; the kernel's own
    // limit (fs.nr_open) is no less by default.
    constexpr rlim_t kWanted = 1 << 20;
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return;
    }
    rlimit more{std::max(limit.rlim_max, kWanted), std::max(limit.rlim_max, kWanted)};
    if (setrlimit(RLIMIT_NOFILE, &more) != 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

// Everything that can be known before the descriptors are handed over.
int check_upgrade(const Config& config, const PolicyPaths& paths) {
    if (auto policy = load_policy(paths); !policy) {
        return usage_error(policy.error().message);
    }
    if (auto good = Pins().check_version(STEER_ABI_VERSION); !good) {
        return complain(good.error().message, kExitFailed);
    }
    const bool smc = choose_paths(config).smc;
    if (auto missing = missing_feature(probe_features(), !smc)) {
        return complain(*missing, kExitUnsupported);
    }
    if (smc && !may_steer_to_smc(smc_bounds_peer_memory(), config.trust)) {
        return complain(not_trusted(probe_features().kernel), kExitUnsupported);
    }
    fmt::print("smc-agent {} can take over, ABI {}\n", kVersion, STEER_ABI_VERSION);
    return 0;
}

// How to start this program again: as it was started, by its file's present path.
std::vector<std::string> own_command(int argc, char** argv) {
    std::vector<std::string> words(argv, argv + argc);
    if (auto at = std::find(words.begin(), words.end(), "--resume"); at != words.end()) {
        words.erase(at, words.end());
    }
    std::error_code error;
    auto path = std::filesystem::read_symlink("/proc/self/exe", error).string();
    if (!error) {
        words[0] = path;
    }
    return words;
}

int serve(const Flags& flags, const Config& config, const PolicyPaths& paths,
          std::vector<std::string> command) {
    std::optional<Handover> handover;
    if (!flags.resume.empty()) {
        auto received = receive_handover(flags.resume);
        if (!received) {
            spdlog::error("{}", received.error().message);
            return kExitUsage;
        }
        handover = std::move(*received);
    }
    auto loop = EventLoop::create();
    if (!loop) {
        spdlog::error("{}", loop.error().message);
        return kExitFailed;
    }
    Agent agent(*loop, config, paths, flags.socket, std::move(command), std::move(handover));
    // Before anything is changed: a signal from now on means an orderly end.
    auto stop = [&] { loop->exit(0); };
    auto term = loop->on_signal(SIGTERM, stop);
    auto interrupt = loop->on_signal(SIGINT, stop);
    auto hangup = loop->on_signal(SIGHUP, [&] { agent.reload_policy(); });
    for (const auto* source : {&term, &interrupt, &hangup}) {
        if (!*source) {
            spdlog::error("{}", source->error().message);
            return kExitFailed;
        }
    }
    if (auto code = agent.start()) {
        return *code;
    }
    auto code = loop->run();
    sd_notify(0, "STOPPING=1");
    if (!code) {
        spdlog::error("{}", code.error().message);
        return kExitFailed;
    }
    return *code;
}

int run(int argc, char** argv) {
    auto flags = parse_flags(argc, argv);
    if (!flags) {
        return flags.error();
    }
    auto level = parse_log_level(flags->log_level);
    if (!level) {
        return usage_error(level.error().message);
    }
    auto config = load_config(*flags);
    if (!config) {
        return usage_error(config.error().message);
    }
    PolicyPaths paths{flags->policy, flags->policy_named};
    if (flags->check) {
        return check(paths);
    }
    if (flags->check_upgrade) {
        return check_upgrade(*config, paths);
    }
    log_init("smc-agent", *level);
    raise_descriptor_limit();
    return serve(*flags, *config, paths, own_command(argc, argv));
}

}  // namespace
}  // namespace smc_steer

int main(int argc, char** argv) { return smc_steer::run(argc, argv); }

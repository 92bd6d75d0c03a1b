// SPDX-License-Identifier: Apache-2.0
// smc-policy check, diff, apply: policy files before they are in force.
#include <fmt/format.h>

#include <filesystem>

#include "agent/cli/client.h"
#include "agent/cli/command.h"
#include "agent/cli/render.h"
#include "agent/cli/render_policy.h"
#include "agent/daemon/files.h"
#include "agent/daemon/policy_source.h"
#include "agent/daemon/rule_json.h"

namespace smc_steer {
namespace {

using nlohmann::json;

constexpr const char* kMainFile = "/etc/smc-steer/policy.yaml";

// `file` as the main one beside the drop-ins of `installed`; "" is the installed one itself.
Result<Policy> load(const std::string& installed, const std::string& file) {
    return load_policy(
        {file.empty() ? installed : file, !file.empty(), PolicyPaths{installed}.drop_in_dir()});
}

json policy_json(const Policy& policy) {
    json list = json::array();
    for (const auto& rule : policy.rules) {
        list.push_back(rule_json(rule));
    }
    return {{"default", to_string(policy.default_action)}, {"rules", std::move(list)}};
}

struct Options {
    std::string file;
    std::string installed = kMainFile;
    bool as_json = false;
};

std::shared_ptr<Options> file_options(CLI::App& command, const char* what) {
    auto options = std::make_shared<Options>();
    command.add_option("file", options->file, what)->type_name("FILE");
    command
        .add_option("--policy", options->installed,
                    "the main policy file; policy.d/*.yaml beside it count too")
        ->capture_default_str()
        ->type_name("FILE");
    return options;
}

Commands::Run define_check(CLI::App& command) {
    auto options = file_options(command, "instead of the main policy file");
    return [options] {
        auto policy = load(options->installed, options->file);
        if (!policy) {
            return complain(policy.error().message, kExitBadUsage);
        }
        fmt::print("good: default {}, {} rules\n", to_string(policy->default_action),
                   policy->rules.size());
        return 0;
    };
}

Commands::Run define_diff(Commands& commands, CLI::App& command) {
    auto options = file_options(command, "instead of the main policy file");
    command.add_flag("--json", options->as_json, "as JSON");
    return [&commands, options] {
        auto policy = load(options->installed, options->file);
        if (!policy) {
            return complain(policy.error().message, kExitBadUsage);
        }
        auto in_force = ask(commands.socket(), {{"cmd", "rules"}});
        if (!in_force) {
            return complain(in_force.error().message, kExitFailure);
        }
        auto changes = rule_changes(*in_force, policy_json(*policy));
        fmt::print("{}", options->as_json
                             ? changes.dump(2, ' ', false, json::error_handler_t::replace) + "\n"
                             : render_changes(changes));
        return 0;
    };
}

Commands::Run define_apply(Commands& commands, CLI::App& command) {
    auto options = file_options(command, "becomes the main policy file");
    return [&commands, options] {
        auto policy = load(options->installed, options->file);
        if (!policy) {
            return complain(policy.error().message, kExitBadUsage);
        }
        if (!options->file.empty()) {
            auto text = read_file(options->file);
            auto done = text ? replace_file(options->installed, text->value_or(""))
                             : Result<void>(tl::unexpected(text.error()));
            if (!done) {
                return complain(done.error().message, kExitFailure);
            }
        }
        return commands.ask_and_print({{"cmd", "apply"}}, false, render_edit);
    };
}

}  // namespace

void add_file_commands(Commands& commands) {
    commands.add("check", "is a policy file good? Asks neither agent nor kernel",
                 [](CLI::App& command) { return define_check(command); });
    commands.add("diff", "what 'apply' would change",
                 [&](CLI::App& command) { return define_diff(commands, command); });
    commands.add("apply", "put a policy file, or what was edited in place, in force",
                 [&](CLI::App& command) { return define_apply(commands, command); });
}

}  // namespace smc_steer

// SPDX-License-Identifier: Apache-2.0
// An agent that becomes another program.
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include "agent/daemon/agent.h"

namespace smc_steer {
namespace {

// After the answer is on its way.
constexpr auto kAnswered = std::chrono::milliseconds(20);

// It will have our rights: nobody else may be able to write it.
Result<void> check_binary(const std::string& path) {
    struct stat st {};
    if (stat(path.c_str(), &st) != 0) {
        return fail_errno("binary: " + path);
    }
    if (!S_ISREG(st.st_mode) || !(st.st_mode & S_IXUSR)) {
        return fail("binary: {} is not a program", path);
    }
    if (st.st_uid != 0 || (st.st_mode & S_IWOTH)) {
        return fail("binary: {} can be changed by others than root", path);
    }
    return {};
}

}  // namespace

nlohmann::json Agent::upgrade(const std::string& binary) {
    auto argv = argv_;
    if (!binary.empty()) {
        argv[0] = binary;
    }
    if (auto good = check_binary(argv[0]); !good) {
        return error_answer(good.error().message);
    }
    // The trial may take longer than a tick.
    if (session_) {
        if (auto done = session_->extend_lease(); !done) {
            return error_answer(done.error().message);
        }
    }
    auto trial = argv;
    trial.emplace_back("--check-upgrade");
    if (auto good = try_out(trial); !good) {
        return error_answer(good.error().message + "; nothing was changed");
    }
    auto later = loop_.after(kAnswered, [this, argv] { hand_over_now(argv); });
    if (!later) {
        return error_answer(later.error().message);
    }
    handing_over_ = std::move(*later);
    return {{"ok", true},
            {"did", {fmt::format("handing over to {}", argv[0])}},
            {"upgrades", upgrades_}};
}

void Agent::hand_over_now(const std::vector<std::string>& argv) {
    HandoverPlan plan;
    plan.lock = control_->lock();
    plan.listener = control_->listener();
    plan.upgrades = upgrades_;
    if (session_) {
        if (auto done = session_->prepare_handover(plan); !done) {
            spdlog::error("no upgrade: {}", done.error().message);
            return;
        }
    }
    spdlog::info("becoming {}", argv[0]);
    http_.reset();
    auto error = hand_over(plan, argv);
    spdlog::error("no upgrade: {}", error.message);
    serve_http();
}

}  // namespace smc_steer

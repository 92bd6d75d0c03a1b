// SPDX-License-Identifier: Apache-2.0
#include "agent/base/log.h"

#include <spdlog/fmt/chrono.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <utility>

namespace smc_steer {
namespace {

// syslog(3) priorities by spdlog level: trace and debug are DEBUG, critical is CRIT.
class PriorityPrefix : public spdlog::custom_flag_formatter {
public:
    void format(const spdlog::details::log_msg& msg, const std::tm& /*time*/,
                spdlog::memory_buf_t& out) override {
        static constexpr std::array<std::string_view, 7> kPrefix = {"<7>", "<7>", "<6>", "<4>",
                                                                    "<3>", "<2>", "<7>"};
        std::string_view prefix = kPrefix.at(static_cast<size_t>(msg.level));
        out.append(prefix.data(), prefix.data() + prefix.size());
    }
    [[nodiscard]] std::unique_ptr<custom_flag_formatter> clone() const override {
        return std::make_unique<PriorityPrefix>();
    }
};

class LastComplaint : public spdlog::sinks::base_sink<std::mutex> {
public:
    std::string text() {
        std::lock_guard lock(mutex_);
        return text_;
    }

private:
    void sink_it_(const spdlog::details::log_msg& msg) override {
        if (msg.level >= spdlog::level::warn && msg.level < spdlog::level::off) {
            auto seconds = std::chrono::time_point_cast<std::chrono::seconds>(msg.time);
            std::tm local{};
            std::time_t time = std::chrono::system_clock::to_time_t(seconds);
            localtime_r(&time, &local);
            text_ = fmt::format("{:%Y-%m-%d %H:%M:%S} {}", local, msg.payload);
        }
    }
    void flush_() override {}
    std::string text_;
};

std::shared_ptr<LastComplaint> complaints;

// JOURNAL_STREAM is inherited by children whose stderr went elsewhere: systemd.exec(5) asks to
// compare device and inode before believing it.
bool stderr_is_journal() {
    const char* stream = std::getenv("JOURNAL_STREAM");
    struct stat st {};
    if (stream == nullptr || fstat(STDERR_FILENO, &st) != 0) {
        return false;
    }
    return fmt::format("{}:{}", st.st_dev, st.st_ino) == stream;
}

}  // namespace

Result<spdlog::level::level_enum> parse_log_level(const std::string& name) {
    // from_str() answers "off" to anything it does not know.
    auto level = spdlog::level::from_str(name);
    if (level == spdlog::level::off && name != "off") {
        return fail("--log-level {}: use trace, debug, info, warn, error, critical or off", name);
    }
    return level;
}

void log_init(const std::string& program, spdlog::level::level_enum level) {
    complaints = std::make_shared<LastComplaint>();
    auto logger = std::make_shared<spdlog::logger>(
        program,
        spdlog::sinks_init_list{std::make_shared<spdlog::sinks::stderr_sink_mt>(), complaints});
    auto formatter = std::make_unique<spdlog::pattern_formatter>();
    formatter->add_flag<PriorityPrefix>('*');
    formatter->set_pattern(stderr_is_journal() ? "%*%v" : "%Y-%m-%d %H:%M:%S.%e %n: %l: %v");
    logger->set_formatter(std::move(formatter));
    logger->set_level(level);
    logger->flush_on(spdlog::level::trace);
    spdlog::set_default_logger(std::move(logger));
}

std::string last_complaint() { return complaints ? complaints->text() : ""; }

}  // namespace smc_steer

// SPDX-License-Identifier: Apache-2.0
// What is logged while it lives.
#ifndef SMC_STEER_TESTS_UNIT_LOG_CAPTURE_H
#define SMC_STEER_TESTS_UNIT_LOG_CAPTURE_H

#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <memory>
#include <sstream>
#include <string>

namespace smc_steer {

class LogCapture {
public:
    LogCapture() {
        auto logger = std::make_shared<spdlog::logger>(
            "test", std::make_shared<spdlog::sinks::ostream_sink_mt>(text_));
        logger->set_level(spdlog::level::info);
        logger->set_pattern("%l: %v");
        spdlog::set_default_logger(std::move(logger));
    }
    LogCapture(const LogCapture&) = delete;
    LogCapture& operator=(const LogCapture&) = delete;
    ~LogCapture() { spdlog::set_default_logger(before_); }

    [[nodiscard]] std::string text() const { return text_.str(); }
    [[nodiscard]] long lines() const {
        auto all = text();
        return std::count(all.begin(), all.end(), '\n');
    }
    void clear() { text_.str(""); }

private:
    std::shared_ptr<spdlog::logger> before_ = spdlog::default_logger();
    std::ostringstream text_;
};

}  // namespace smc_steer

#endif  // SMC_STEER_TESTS_UNIT_LOG_CAPTURE_H

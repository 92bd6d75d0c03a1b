// SPDX-License-Identifier: Apache-2.0
// Errors as values. A function that can fail returns Result<T>; the caller adds what it knows with
// with_context() and the error is printed or logged once, at the top.
#ifndef SMC_STEER_AGENT_BASE_RESULT_H
#define SMC_STEER_AGENT_BASE_RESULT_H

#include <fmt/format.h>

#include <cerrno>
#include <string>
#include <string_view>
#include <system_error>
#include <tl/expected.hpp>
#include <utility>

namespace smc_steer {

struct Error {
    std::string message;  // one line, no newline at its end
    int code = 0;         // errno value, or 0 where none applies
};

template <class T>
using Result = tl::expected<T, Error>;

// "what went wrong", without an errno.
template <class... Args>
[[nodiscard]] tl::unexpected<Error> fail(fmt::format_string<Args...> format, Args&&... args) {
    return tl::unexpected<Error>(Error{fmt::format(format, std::forward<Args>(args)...), 0});
}

// "what: text of err". `err` is a positive errno value; libraries that return -errno: negate first.
template <class... Args>
[[nodiscard]] tl::unexpected<Error> fail_errno(int err, fmt::format_string<Args...> format,
                                               Args&&... args) {
    return tl::unexpected<Error>(Error{fmt::format(format, std::forward<Args>(args)...) + ": " +
                                           std::generic_category().message(err),
                                       err});
}

// Likewise with the errno of the call that just failed.
[[nodiscard]] inline tl::unexpected<Error> fail_errno(std::string_view what) {
    return fail_errno(errno, "{}", what);
}

// "while ...: message"; the code is kept. For map_error() and for hand-written returns.
[[nodiscard]] inline Error with_context(Error error, std::string_view context) {
    error.message.insert(0, ": ").insert(0, context);
    return error;
}

// The failure of `result` in the shape a function of any other Result type returns.
template <class T>
[[nodiscard]] tl::unexpected<Error> forward_error(Result<T>&& result) {
    return tl::unexpected<Error>(std::move(result).error());
}

template <class T>
[[nodiscard]] tl::unexpected<Error> forward_error(Result<T>&& result, std::string_view context) {
    return tl::unexpected<Error>(with_context(std::move(result).error(), context));
}

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_BASE_RESULT_H

// SPDX-License-Identifier: Apache-2.0
// The socket QEMU connects to.
#ifndef SMC_STEER_BROKER_LISTENER_H
#define SMC_STEER_BROKER_LISTENER_H

#include <sys/types.h>

#include <string>

#include "agent/base/result.h"
#include "agent/base/unique_fd.h"

namespace smc_steer::broker {

// Listens on a UNIX stream socket and removes it from the file system at the end.
class Listener {
public:
    // A socket file that nobody serves is replaced. Refused, with nothing changed: a path that
    // somebody serves, that is no socket, that is too long (sun_path, 107 bytes) or whose directory
    // is missing.
    static Result<Listener> create(const std::string& path, mode_t mode);

    Listener(Listener&& other) noexcept;
    Listener& operator=(Listener&&) = delete;
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;
    ~Listener();

    [[nodiscard]] int fd() const { return fd_.get(); }

    // A non-blocking connection; code EAGAIN when there is none.
    Result<UniqueFd> accept();

private:
    Listener(UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
    UniqueFd fd_;
    std::string path_;  // empty: moved from
};

}  // namespace smc_steer::broker

#endif  // SMC_STEER_BROKER_LISTENER_H

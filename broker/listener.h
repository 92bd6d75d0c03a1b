// SPDX-License-Identifier: Apache-2.0
// The socket QEMU connects to.
#ifndef SMC_STEER_BROKER_LISTENER_H
#define SMC_STEER_BROKER_LISTENER_H

#include <sys/types.h>

#include <optional>
#include <string>

#include "agent/base/result.h"
#include "agent/base/unique_fd.h"

namespace smc_steer::broker {

struct SocketAccess {
    std::string path;
    mode_t mode = 0600;
    std::optional<uid_t> owner;
    std::optional<gid_t> group;
    std::string what = "--socket";  // as messages call it
};

// Listens on a UNIX stream socket and removes it from the file system at the end.
class Listener {
public:
    // A socket file that nobody serves is replaced. Refused, with nothing changed: a path that
    // somebody serves, that is no socket, that is too long (sun_path, 107 bytes) or whose directory
    // is missing.
    // Nobody can connect before owner, group and mode are as asked for.
    static Result<Listener> create(const SocketAccess& access);

    // A former broker's, listening all the while. An error unless it is `path`'s.
    static Result<Listener> adopt(UniqueFd fd, const std::string& path);

    // Leaves the file for the one who serves the socket next.
    void keep_file() { keep_file_ = true; }

    Listener(Listener&& other) noexcept;
    Listener& operator=(Listener&& other) noexcept;
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;
    ~Listener();

    [[nodiscard]] int fd() const { return fd_.get(); }

    // A non-blocking connection; code EAGAIN when there is none.
    Result<UniqueFd> accept();

private:
    static Result<Listener> make(const SocketAccess& access);
    Listener(UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
    UniqueFd fd_;
    std::string path_;  // empty: moved from
    bool keep_file_ = false;
};

}  // namespace smc_steer::broker

#endif  // SMC_STEER_BROKER_LISTENER_H

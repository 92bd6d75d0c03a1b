// SPDX-License-Identifier: Apache-2.0
#include "broker/listener.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <chrono>
#include <filesystem>
#include <thread>
#include <utility>

namespace smc_steer::broker {
namespace {

UniqueFd make_socket() {
    return UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

int connect_to(const UniqueFd& fd, const sockaddr_un& address) {
    return connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
}

// Two brokers that start at once could each take the other's new socket for a stale one: whoever
// looks and binds holds the directory's lock. It is held for microseconds.
Result<UniqueFd> lock_directory(const std::string& path) {
    auto parent = std::filesystem::path(path).parent_path();
    std::string directory = parent.empty() ? "." : parent.string();
    UniqueFd fd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd) {
        return fail_errno(errno, "--socket {}: directory {}", path, directory);
    }
    for (int tries = 0; flock(fd.get(), LOCK_EX | LOCK_NB) != 0; ++tries) {
        if (errno != EWOULDBLOCK || tries == 100) {
            return fail_errno(errno, "--socket {}: cannot lock directory {}", path, directory);
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return fd;
}

// Removes a stale socket file; fails if something else is there.
Result<void> clear_path(const std::string& path, const sockaddr_un& address) {
    struct stat st {};
    if (lstat(path.c_str(), &st) != 0) {
        if (errno == ENOENT) {
            return {};
        }
        return fail_errno(errno, "--socket {}", path);
    }
    if (!S_ISSOCK(st.st_mode)) {
        return fail("--socket {}: is there already and is not a socket, give another path", path);
    }
    UniqueFd probe = make_socket();
    if (!probe) {
        return fail_errno("socket");
    }
    // EAGAIN: its backlog is full, so there is somebody.
    if (connect_to(probe, address) == 0 || errno == EAGAIN) {
        return fail("--socket {}: taken, another process serves it; end it or give another path",
                    path);
    }
    if (errno != ECONNREFUSED) {
        return fail_errno(errno, "--socket {}: cannot tell whether it is in use", path);
    }
    if (unlink(path.c_str()) != 0) {
        return fail_errno(errno, "--socket {}: cannot remove the stale socket", path);
    }
    return {};
}

}  // namespace

Result<Listener> Listener::create(const std::string& path, mode_t mode) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof(address.sun_path)) {
        return fail("--socket {}: a socket's path has 1 to {} bytes, this one {}", path,
                    sizeof(address.sun_path) - 1, path.size());
    }
    path.copy(address.sun_path, path.size());

    auto lock = lock_directory(path);
    if (!lock) {
        return forward_error(std::move(lock));
    }
    auto clear = clear_path(path, address);
    if (!clear) {
        return forward_error(std::move(clear));
    }
    UniqueFd fd = make_socket();
    if (!fd) {
        return fail_errno("socket");
    }
    // The umask, not a later chmod: at no time may more people connect than --mode says.
    mode_t before = umask(~mode & 0777);
    int rc = bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
    int err = errno;
    umask(before);
    if (rc != 0) {
        return fail_errno(err, "--socket {}: cannot make it", path);
    }
    Listener listener(std::move(fd), path);
    if (listen(listener.fd(), SOMAXCONN) != 0) {
        return fail_errno(errno, "--socket {}: cannot listen", path);
    }
    return listener;
}

Listener::Listener(Listener&& other) noexcept
    : fd_(std::move(other.fd_)), path_(std::exchange(other.path_, {})) {}

Listener::~Listener() {
    if (!path_.empty()) {
        unlink(path_.c_str());
    }
}

Result<UniqueFd> Listener::accept() {
    UniqueFd client(accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!client) {
        return fail_errno("accept");
    }
    return client;
}

}  // namespace smc_steer::broker

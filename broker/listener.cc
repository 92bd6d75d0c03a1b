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
        return fail_errno(errno, "{}: directory {}", path, directory);
    }
    for (int tries = 0; flock(fd.get(), LOCK_EX | LOCK_NB) != 0; ++tries) {
        if (errno != EWOULDBLOCK || tries == 100) {
            return fail_errno(errno, "{}: cannot lock directory {}", path, directory);
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
        return fail_errno(errno, "{}", path);
    }
    if (!S_ISSOCK(st.st_mode)) {
        return fail("{}: is there already and is not a socket, give another path", path);
    }
    UniqueFd probe = make_socket();
    if (!probe) {
        return fail_errno("socket");
    }
    // EAGAIN: its backlog is full, so there is somebody.
    if (connect_to(probe, address) == 0 || errno == EAGAIN) {
        return fail("{}: taken, another process serves it; end it or give another path", path);
    }
    if (errno != ECONNREFUSED) {
        return fail_errno(errno, "{}: cannot tell whether it is in use", path);
    }
    if (unlink(path.c_str()) != 0) {
        return fail_errno(errno, "{}: cannot remove the stale socket", path);
    }
    return {};
}

}  // namespace

Result<Listener> Listener::create(const SocketAccess& access) {
    return make(access).map_error([&](Error error) {
        error.message.insert(0, access.what + " ");
        return error;
    });
}

Result<Listener> Listener::make(const SocketAccess& access) {
    const std::string& path = access.path;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof(address.sun_path)) {
        return fail("{}: a socket's path has 1 to {} bytes, this one {}", path,
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
    mode_t before = umask(0777);
    int rc = bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
    int err = errno;
    umask(before);
    if (rc != 0) {
        return fail_errno(err, "{}: cannot make it", path);
    }
    Listener listener(std::move(fd), path);
    // The mode before the owner: who gives a file away may not change it any more. Both before
    // listen(): until then every connection is refused.
    if (chmod(path.c_str(), access.mode) != 0) {
        return fail_errno(errno, "{}: cannot set mode {:04o}", path, access.mode);
    }
    if ((access.owner || access.group) &&
        lchown(path.c_str(), access.owner.value_or(static_cast<uid_t>(-1)),
               access.group.value_or(static_cast<gid_t>(-1))) != 0) {
        return fail_errno(errno, "{}: cannot give it to its owner and group", path);
    }
    if (listen(listener.fd(), SOMAXCONN) != 0) {
        return fail_errno(errno, "{}: cannot listen", path);
    }
    return listener;
}

Result<Listener> Listener::adopt(UniqueFd fd, const std::string& path) {
    sockaddr_un address{};
    socklen_t size = sizeof(address);
    struct stat st {};
    if (!fd || getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0 ||
        path != address.sun_path || lstat(path.c_str(), &st) != 0 || !S_ISSOCK(st.st_mode)) {
        return fail("no former broker's socket at {}", path);
    }
    return Listener(std::move(fd), path);
}

Listener& Listener::operator=(Listener&& other) noexcept {
    std::swap(fd_, other.fd_);
    std::swap(path_, other.path_);
    std::swap(keep_file_, other.keep_file_);
    return *this;
}

Listener::Listener(Listener&& other) noexcept
    : fd_(std::move(other.fd_)),
      path_(std::exchange(other.path_, {})),
      keep_file_(other.keep_file_) {}

Listener::~Listener() {
    if (!path_.empty() && !keep_file_) {
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

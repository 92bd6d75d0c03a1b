// SPDX-License-Identifier: Apache-2.0
#include "socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "pattern.h"

namespace semantics {

int Fd::release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
}

void Fd::reset(int fd) {
    if (fd_ >= 0) {
        close(fd_);
    }
    fd_ = fd;
}

uint16_t Address::port() const {
    return ntohs(family() == AF_INET6 ? reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_port
                                      : reinterpret_cast<const sockaddr_in*>(&storage)->sin_port);
}

std::string Address::text() const {
    char ip[INET6_ADDRSTRLEN] = "";
    if (family() == AF_INET6) {
        const auto* in6 = reinterpret_cast<const sockaddr_in6*>(&storage);
        inet_ntop(AF_INET6, &in6->sin6_addr, ip, sizeof(ip));
        return "[" + std::string(ip) + "]:" + std::to_string(port());
    }
    if (family() != AF_INET) {
        return "none";
    }
    const auto* in4 = reinterpret_cast<const sockaddr_in*>(&storage);
    inet_ntop(AF_INET, &in4->sin_addr, ip, sizeof(ip));
    return std::string(ip) + ":" + std::to_string(port());
}

Address make_address(const std::string& ip, uint16_t port) {
    Address address;
    auto* in6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
    auto* in4 = reinterpret_cast<sockaddr_in*>(&address.storage);
    if (inet_pton(AF_INET6, ip.c_str(), &in6->sin6_addr) == 1) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(port);
        address.size = sizeof(*in6);
    } else if (inet_pton(AF_INET, ip.c_str(), &in4->sin_addr) == 1) {
        in4->sin_family = AF_INET;
        in4->sin_port = htons(port);
        address.size = sizeof(*in4);
    }
    return address;
}

Address name_of(int fd) {
    Address address;
    getsockname(fd, address.raw(), &address.size);
    return address;
}

Address peer_of(int fd) {
    Address address;
    getpeername(fd, address.raw(), &address.size);
    return address;
}

std::string error_name(int error) {
    const char* name = strerrorname_np(error);
    return error == 0 ? "ok" : name != nullptr ? name : std::to_string(error);
}

std::string outcome(ssize_t result) {
    return result < 0 ? error_name(errno) : std::to_string(result);
}

std::string pending_error(int fd) {
    int error = 0;
    socklen_t size = sizeof(error);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) {
        return "getsockopt: " + error_name(errno);
    }
    return error_name(error);
}

Fd open_stream(int family, int flags) {
    Fd fd(socket(family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
    limit_waits(fd.get());
    return fd;
}

void limit_waits(int fd, int ms) {
    const timeval time{ms / 1000, (ms % 1000) * 1000L};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof(time));
}

int set_option(int fd, int level, int name, int value) {
    return setsockopt(fd, level, name, &value, sizeof(value));
}

int option(int fd, int level, int name) {
    int value = 0;
    socklen_t size = sizeof(value);
    return getsockopt(fd, level, name, &value, &size) == 0 ? value : -1;
}

void set_nonblocking(int fd, bool on) {
    const int flags = fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK);
}

void reset_connection(Fd& fd) {
    const linger now{1, 0};
    setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    fd.reset();
}

Fd listen_at(const Address& address, int backlog) {
    Fd fd = open_stream(address.family());
    set_option(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
    if (bind(fd.get(), address.raw(), address.size) != 0 || listen(fd.get(), backlog) != 0) {
        const int error = errno;
        fd.reset();
        errno = error;
    }
    return fd;
}

Fd accept_from(int listener, Address* from, int flags) {
    Address address;
    if (ready(listener, POLLIN) == 0) {
        errno = ETIMEDOUT;
        return {};
    }
    Fd fd(accept4(listener, address.raw(), &address.size, SOCK_CLOEXEC | flags));
    if (fd) {
        limit_waits(fd.get());
    }
    if (from != nullptr) {
        *from = address;
    }
    return fd;
}

int connect_to(int fd, const Address& address) { return connect(fd, address.raw(), address.size); }

int ready(int fd, short events, int ms) {
    pollfd one{fd, events, 0};
    return poll(&one, 1, ms) == 1 ? one.revents : 0;
}

std::string send_all(int fd, const std::vector<uint8_t>& bytes) {
    for (size_t done = 0; done < bytes.size();) {
        const ssize_t n = send(fd, bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
        if (n < 0) {
            return error_name(errno);
        }
        done += n;
    }
    return "ok";
}

std::string expect_stream(int fd, size_t size, uint64_t seed, uint64_t from) {
    std::vector<uint8_t> got(std::min<size_t>(size, 64 << 10));
    for (size_t done = 0; done < size;) {
        const ssize_t n = recv(fd, got.data(), std::min(got.size(), size - done), 0);
        if (n <= 0) {
            return (n == 0 ? "end" : error_name(errno)) + " at " + std::to_string(done);
        }
        const std::vector<uint8_t> wanted = pattern(seed, n, from + done);
        const auto differ = std::mismatch(wanted.begin(), wanted.end(), got.begin());
        if (differ.first != wanted.end()) {
            return "wrong at " + std::to_string(done + (differ.first - wanted.begin()));
        }
        done += n;
    }
    return "ok";
}

std::string next(int fd) {
    char byte;
    const ssize_t n = recv(fd, &byte, 1, 0);
    return n > 0 ? "data" : n == 0 ? "end" : error_name(errno);
}

void watch_time(int seconds) {
    struct sigaction action {};
    action.sa_handler = [](int) {};  // without SA_RESTART: what was waiting returns
    sigaction(SIGALRM, &action, nullptr);
    const char* slow = getenv("SEMANTICS_SLOW");
    const int limit = seconds * (slow != nullptr ? std::atoi(slow) : 1);
    const itimerval times{{seconds > 0 ? 1 : 0, 0}, {limit, 0}};
    setitimer(ITIMER_REAL, &times, nullptr);
}

}  // namespace semantics

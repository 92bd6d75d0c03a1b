// SPDX-License-Identifier: Apache-2.0
// What both ends, test and puppet, do with sockets. Nothing here knows what a socket runs over, and
// no wait is without end.
#pragma once

#include <poll.h>
#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <vector>

namespace semantics {

constexpr int kWaitMs = 4000;  // for what is to happen

class Fd {
public:
    Fd() = default;
    explicit Fd(int fd) : fd_(fd) {}
    Fd(Fd&& other) noexcept : fd_(other.release()) {}
    Fd& operator=(Fd&& other) noexcept {
        reset(other.release());
        return *this;
    }
    ~Fd() { reset(); }
    int get() const { return fd_; }
    int release();
    void reset(int fd = -1);
    explicit operator bool() const { return fd_ >= 0; }

private:
    int fd_ = -1;
};

struct Address {
    sockaddr_storage storage{};
    socklen_t size = sizeof(sockaddr_storage);

    sockaddr* raw() { return reinterpret_cast<sockaddr*>(&storage); }
    const sockaddr* raw() const { return reinterpret_cast<const sockaddr*>(&storage); }
    int family() const { return storage.ss_family; }
    uint16_t port() const;
    std::string text() const;  // 10.0.0.1:80, [fd00::1]:80
};

Address make_address(const std::string& ip, uint16_t port);
Address name_of(int fd);  // of family 0 where the kernel does not tell; errno says why
Address peer_of(int fd);

// "ok" for 0, else ECONNRESET and the like.
std::string error_name(int error);
// Of a system call: the number it returned, or the name of its error.
std::string outcome(ssize_t result);
// What SO_ERROR has, by name; it is taken out by that.
std::string pending_error(int fd);

// A stream socket whose blocking calls end after kWaitMs.
Fd open_stream(int family, int flags = 0);
void limit_waits(int fd, int ms = kWaitMs);
int set_option(int fd, int level, int name, int value);
int option(int fd, int level, int name);  // -1: the kernel does not tell
void set_nonblocking(int fd, bool on = true);
void reset_connection(Fd& fd);  // closes it with an RST

// bind and listen with SO_REUSEADDR; invalid, with errno, if one of them fails.
Fd listen_at(const Address& address, int backlog = 64);
Fd accept_from(int listener, Address* from = nullptr, int flags = 0);
int connect_to(int fd, const Address& address);

// poll() of one descriptor: its revents, 0 if none came.
int ready(int fd, short events, int ms = kWaitMs);

// All of it, in as many calls as it takes: "ok", or the error's name.
std::string send_all(int fd, const std::vector<uint8_t>& bytes);
// `size` bytes of the stream `seed`: "ok", "wrong at N", "end at N", "ECONNRESET at N".
std::string expect_stream(int fd, size_t size, uint64_t seed, uint64_t from = 0);
// What comes next, where no byte should: "end", "data" or an error's name.
std::string next(int fd);

// From now on the process's blocking calls end with EINTR after so many seconds, one by one; 0 ends
// that. The last resort, should a call forget its own limit. SEMANTICS_SLOW (environment): how many
// times longer all takes on a kernel that checks itself.
void watch_time(int seconds);

}  // namespace semantics

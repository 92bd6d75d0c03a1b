// SPDX-License-Identifier: Apache-2.0
#include "agent/daemon/control_server.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>

#include "agent/daemon/control_protocol.h"

namespace smc_steer {
namespace {

constexpr std::size_t kOthersMost = 32;        // who are not root
constexpr std::size_t kBacklogMost = 1 << 20;  // bytes a stream may be behind
constexpr auto kPatience = std::chrono::seconds(10);

Result<sockaddr_un> address_of(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof(address.sun_path)) {
        return fail("{}: too long for a socket's path", path);
    }
    std::memcpy(address.sun_path, path.data(), path.size());
    return address;
}

// The lock, not the socket, says who serves: it goes with its process, however that ends.
Result<UniqueFd> take_lock(const std::string& path) {
    std::string name = path + ".lock";
    UniqueFd lock(open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!lock) {
        return fail_errno(errno, "{}: cannot open", name);
    }
    if (flock(lock.get(), LOCK_EX | LOCK_NB) == 0) {
        return lock;
    }
    if (errno == EWOULDBLOCK) {
        return fail_errno(EADDRINUSE, "another smc-agent serves {} already", path);
    }
    return fail_errno(errno, "{}: cannot lock", name);
}

}  // namespace

Result<std::unique_ptr<ControlServer>> ControlServer::listen(EventLoop& loop,
                                                             const std::string& path,
                                                             const Access& access,
                                                             Handler handler) {
    auto address = address_of(path);
    if (!address) {
        return tl::unexpected(address.error());
    }
    auto directory = std::filesystem::path(path).parent_path();
    std::error_code error;
    if (!directory.empty() && std::filesystem::create_directories(directory, error)) {
        chmod(directory.c_str(), 0755);
    }
    if (error) {
        return fail_errno(error.value(), "{}: cannot make", directory.string());
    }

    std::unique_ptr<ControlServer> self(new ControlServer(loop, path, access, std::move(handler)));
    auto lock = take_lock(path);
    if (!lock) {
        return tl::unexpected(lock.error());
    }
    self->lock_ = std::move(*lock);

    self->listener_ = UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    int fd = self->listener_.get();
    if (fd < 0) {
        return fail_errno(errno, "cannot make the control socket");
    }
    unlink(path.c_str());
    // The mode is there from the first moment: fchmod() before bind() is what bind() uses.
    mode_t mode = access.open_to_others() ? 0666 : 0600;
    if (fchmod(fd, mode) != 0 ||
        bind(fd, reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) != 0 ||
        chmod(path.c_str(), mode) != 0 || ::listen(fd, SOMAXCONN) != 0) {
        return fail_errno(errno, "{}: cannot listen", path);
    }
    if (auto done = self->watch_listener(); !done) {
        return tl::unexpected(done.error());
    }
    return self;
}

Result<std::unique_ptr<ControlServer>> ControlServer::take_over(EventLoop& loop,
                                                                const std::string& path,
                                                                const Access& access, UniqueFd lock,
                                                                UniqueFd listener,
                                                                Handler handler) {
    std::unique_ptr<ControlServer> self(new ControlServer(loop, path, access, std::move(handler)));
    self->lock_ = std::move(lock);
    self->listener_ = std::move(listener);
    // The configuration may have changed who can connect.
    if (chmod(path.c_str(), access.open_to_others() ? 0666 : 0600) != 0) {
        return fail_errno(errno, "{}: cannot set the mode", path);
    }
    if (auto done = self->watch_listener(); !done) {
        return tl::unexpected(done.error());
    }
    return self;
}

Result<void> ControlServer::watch_listener() {
    return acceptor_.start(loop_, listener_.get(), [this] { return accept_one(); });
}

ControlServer::~ControlServer() {
    // Still under the lock: a successor's socket cannot be the one taken away here.
    if (acceptor_.active()) {
        unlink(path_.c_str());
    }
    clients_.clear();
    acceptor_.stop();
}

std::size_t ControlServer::others() const {
    return static_cast<std::size_t>(
        std::count_if(clients_.begin(), clients_.end(),
                      [this](const Client& client) { return !access_.is_owner(client.caller); }));
}

Result<void> ControlServer::accept_one() {
    UniqueFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd) {
        return nobody_came(errno) ? Result<void>() : fail_errno("cannot accept a client of ours");
    }
    admit(std::move(fd));
    return {};
}

void ControlServer::admit(UniqueFd fd) {
    auto caller = caller_of(fd.get());
    const char* refused = nullptr;
    if (!caller || !access_.may_read(*caller)) {
        refused = "you may not talk to smc-agent: see 'control' in agent.yaml";
    } else if (!access_.is_owner(*caller) && others() >= kOthersMost) {
        refused = "32 clients are connected to smc-agent: try again when one has gone";
    }
    clients_.emplace_back();
    auto client = std::prev(clients_.end());
    client->fd = std::move(fd);
    if (refused) {
        client->out = to_line(error_answer(refused));
        write_some(*client);
        clients_.erase(client);
        return;
    }
    client->caller = std::move(*caller);
    auto io = loop_.on_io(client->fd.get(), EPOLLIN,
                          [this, client](std::uint32_t events) { serve(client, events); });
    auto patience = loop_.after(kPatience, [this, client] { clients_.erase(client); });
    if (!io || !patience) {
        clients_.erase(client);
        return;
    }
    client->io = std::move(*io);
    client->patience = std::move(*patience);
}

void ControlServer::serve(ClientRef client, std::uint32_t events) {
    bool more = true;
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        more = read_some(*client);
    }
    answer_lines(*client);
    bool broken = !write_some(*client);
    bool done = client->out.empty() && (!more || client->closing);
    if (broken || done) {
        // The watch goes before its descriptor does.
        client->io.reset();
        clients_.erase(client);
        return;
    }
    // No reading while an answer is stuck: a client that does not listen cannot pile up work.
    if (!client->io.set_io_events(client->out.empty() ? EPOLLIN : EPOLLOUT)) {
        clients_.erase(client);
    }
}

void ControlServer::broadcast(const std::string& line) {
    for (auto client = clients_.begin(); client != clients_.end();) {
        auto next = std::next(client);
        if (client->streaming && client->out.size() < kBacklogMost) {
            client->out += line;
            serve(client, 0);
        }
        client = next;
    }
}

std::size_t ControlServer::streams() const {
    return static_cast<std::size_t>(std::count_if(
        clients_.begin(), clients_.end(), [](const Client& client) { return client.streaming; }));
}

bool ControlServer::read_some(Client& client) {
    char room[4096];
    while (client.in.size() <= kRequestMost) {
        ssize_t n = read(client.fd.get(), room, sizeof(room));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return errno == EAGAIN;
        }
        if (n == 0) {
            return false;
        }
        client.in.append(room, static_cast<std::size_t>(n));
    }
    return true;
}

void ControlServer::answer_lines(Client& client) {
    while (!client.closing) {
        auto end = client.in.find('\n');
        if (end == std::string::npos ? client.in.size() >= kRequestMost : end >= kRequestMost) {
            client.out += to_line(error_answer("request: longer than 64 KiB"));
            client.closing = true;
            return;
        }
        if (end == std::string::npos) {
            return;
        }
        auto answer = handler_(std::string_view(client.in).substr(0, end), client.caller);
        client.out += answer.line;
        client.closing = answer.close;
        if (answer.stream && !client.streaming) {
            client.streaming = true;
            client.patience.reset();
        }
        client.in.erase(0, end + 1);
    }
}

bool ControlServer::write_some(Client& client) {
    while (!client.out.empty()) {
        ssize_t n = send(client.fd.get(), client.out.data(), client.out.size(), MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return errno == EAGAIN;
        }
        client.out.erase(0, static_cast<std::size_t>(n));
    }
    return true;
}

}  // namespace smc_steer

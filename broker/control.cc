// SPDX-License-Identifier: Apache-2.0
#include "broker/control.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>

namespace smc_steer::broker {

std::optional<std::string> answer_request(std::string_view received,
                                          const std::function<std::string()>& status) {
    size_t end = received.find('\n');
    if (end == std::string_view::npos) {
        return received.size() > kMaxRequest ? std::optional<std::string>("error: too long\n")
                                             : std::nullopt;
    }
    std::string_view word = received.substr(0, end);
    return word == "status" ? status() : "error: there is only status\n";
}

Control::Control(EventLoop& loop, Listener& listener, std::function<std::string()> status)
    : loop_(loop), listener_(listener), status_(std::move(status)) {}

Result<void> Control::start() { return listen(); }

Result<void> Control::listen() {
    return loop_.on_io(listener_.fd(), EPOLLIN, [this](uint32_t) { on_connection(); })
        .map([this](EventSource source) { listen_source_ = std::move(source); });
}

void Control::on_connection() {
    auto socket = listener_.accept();
    if (!socket) {
        // Also for want of descriptors: the next who ends one lets us look again.
        if (socket.error().code != EAGAIN && !sessions_.empty()) {
            listen_source_.reset();
        }
        return;
    }
    auto session = sessions_.emplace(sessions_.end());
    session->socket = std::move(*socket);
    auto source = loop_.on_io(session->socket.get(), EPOLLIN,
                              [this, session](uint32_t) { on_session(session); });
    auto timeout = loop_.after(kSessionTime, [this, session] { end(session); });
    if (!source || !timeout) {
        sessions_.erase(session);
        return;
    }
    session->source = std::move(*source);
    session->timeout = std::move(*timeout);
    if (sessions_.size() >= kMaxSessions) {
        listen_source_.reset();  // until one ends
    }
}

void Control::end(Sessions::iterator session) {
    sessions_.erase(session);
    if (!listen_source_.active()) {
        static_cast<void>(listen());
    }
}

void Control::on_session(Sessions::iterator session) {
    if (session->answer.empty()) {
        std::array<char, kMaxRequest + 1> buffer{};
        ssize_t n = recv(session->socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (n <= 0) {
            if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
                end(session);
            }
            return;
        }
        session->received.append(buffer.data(), static_cast<size_t>(n));
        auto answer = answer_request(session->received, status_);
        if (!answer) {
            return;
        }
        session->answer = std::move(*answer);
    }
    ssize_t n = send(session->socket.get(), session->answer.data(), session->answer.size(),
                     MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        n = 0;
    }
    if (n < 0 || static_cast<size_t>(n) == session->answer.size() ||
        !session->source.set_io_events(EPOLLOUT)) {
        end(session);
        return;
    }
    session->answer.erase(0, static_cast<size_t>(n));
}

Result<std::string> ask_status(const std::string& path) {
    UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof(address.sun_path)) {
        return fail("--control {}: a socket's path has 1 to {} bytes", path,
                    sizeof(address.sun_path) - 1);
    }
    path.copy(address.sun_path, path.size());
    if (!fd || connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
        return fail_errno(errno, "no broker answers on --control {}", path);
    }
    timeval limit{10, 0};
    setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    constexpr std::string_view kRequest = "status\n";
    if (send(fd.get(), kRequest.data(), kRequest.size(), MSG_NOSIGNAL) < 0) {
        return fail_errno(errno, "--control {}", path);
    }
    std::string answer;
    std::array<char, 4096> buffer{};
    ssize_t n = 0;
    while ((n = recv(fd.get(), buffer.data(), buffer.size(), 0)) > 0) {
        answer.append(buffer.data(), static_cast<size_t>(n));
    }
    if (n < 0) {
        return fail_errno(errno, "--control {}", path);
    }
    return answer;
}

}  // namespace smc_steer::broker

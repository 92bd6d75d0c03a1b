// SPDX-License-Identifier: Apache-2.0
#include "agent/cli/client.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include "agent/base/unique_fd.h"

namespace smc_steer {
namespace {

constexpr std::size_t kAnswerMost = 64 << 20;

Result<UniqueFd> dial(const std::string& path, std::chrono::seconds silence) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof(address.sun_path)) {
        return fail("{}: too long for a socket's path", path);
    }
    std::memcpy(address.sun_path, path.data(), path.size());
    UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!fd) {
        return fail_errno("cannot make a socket");
    }
    timeval patience{silence.count(), 0};
    setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) {
        return fd;
    }
    if (errno == ENOENT || errno == ECONNREFUSED) {
        return fail(
            "smc-agent is not running (no socket at {}): start it with systemctl start "
            "smc-agent",
            path);
    }
    if (errno == EACCES) {
        return fail("{}: only root may talk to smc-agent", path);
    }
    return fail_errno(errno, "{}: cannot connect", path);
}

Result<void> send_all(int fd, const std::string& text) {
    std::size_t done = 0;
    while (done < text.size()) {
        ssize_t n = send(fd, text.data() + done, text.size() - done, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return fail_errno("cannot ask smc-agent");
        }
        done += static_cast<std::size_t>(n);
    }
    return {};
}

Result<std::string> read_line(int fd) {
    std::string text;
    char room[16384];
    while (text.size() < kAnswerMost) {
        ssize_t n = recv(fd, room, sizeof(room), 0);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno == EAGAIN) {
            return fail("smc-agent does not answer");
        }
        if (n < 0) {
            return fail_errno("cannot read smc-agent's answer");
        }
        if (n == 0) {
            return fail("smc-agent hung up in the middle of its answer");
        }
        text.append(room, static_cast<std::size_t>(n));
        if (text.back() == '\n') {
            return text;
        }
    }
    return fail("smc-agent's answer is too long");
}

Result<void> send_request(int fd, const nlohmann::json& request) {
    return send_all(fd,
                    request.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

Result<nlohmann::json> judge(const std::string& text) {
    auto answer = nlohmann::json::parse(text, nullptr, false);
    if (!answer.is_object() || !answer.contains("ok") || !answer["ok"].is_boolean()) {
        return fail("smc-agent's answer makes no sense: do the versions match?");
    }
    if (!answer["ok"].get<bool>()) {
        return fail("{}", answer.value("error", "refused"));
    }
    return answer;
}

}  // namespace

Result<nlohmann::json> ask(const std::string& socket_path, const nlohmann::json& request,
                           std::chrono::seconds silence) {
    auto fd = dial(socket_path, silence);
    if (!fd) {
        return tl::unexpected(fd.error());
    }
    if (auto sent = send_request(fd->get(), request); !sent) {
        return tl::unexpected(sent.error());
    }
    auto text = read_line(fd->get());
    if (!text) {
        return tl::unexpected(text.error());
    }
    return judge(*text);
}

Error listen(const std::string& socket_path, const nlohmann::json& request,
             const std::function<void(const nlohmann::json&)>& on_line) {
    auto fd = dial(socket_path, kSilence);
    if (!fd) {
        return fd.error();
    }
    if (auto sent = send_request(fd->get(), request); !sent) {
        return sent.error();
    }
    bool answered = false;
    std::string text;
    char room[16384];
    for (;;) {
        ssize_t n = recv(fd->get(), room, sizeof(room), 0);
        // Silence is no trouble once it has answered: nothing may happen for hours.
        if (n < 0 && (errno == EINTR || (errno == EAGAIN && answered))) {
            continue;
        }
        if (n <= 0) {
            return {"smc-agent hung up", 0};
        }
        text.append(room, static_cast<std::size_t>(n));
        std::size_t begin = 0;
        for (auto end = text.find('\n'); end != std::string::npos; end = text.find('\n', begin)) {
            auto line = text.substr(begin, end - begin);
            begin = end + 1;
            if (answered) {
                on_line(nlohmann::json::parse(line, nullptr, false));
            } else if (auto answer = judge(line); !answer) {
                return answer.error();
            }
            answered = true;
        }
        text.erase(0, begin);
    }
}

}  // namespace smc_steer

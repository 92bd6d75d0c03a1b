// SPDX-License-Identifier: Apache-2.0
// Commands; C and L are names that the test gives to sockets, N counts bytes, SEED names a stream
// (pattern.h). The answer is "ok", "ok VALUE", the name of an error, or what is said here.
//
//   listen L IP PORT [BACKLOG]    deafen L         packets for it are dropped from now on
//   accept L C                    connect C IP PORT
//   send C N SEED                 recv C N SEED    "end at N", "wrong at N", "ECONNRESET at N"
//   pieces C COUNT N SEED MS      COUNT times N bytes, with pauses
//   fill C SEED                   as many bytes as go without waiting: "ok N"
//   echo C N                      N bytes, back as they come
//   urgent C                      one byte, MSG_OOB
//   next C                        "end", "data" or an error: what a read gives
//   wait C N                      until that many bytes are there to be read
//   name C    peername C          "ok 10.0.0.1:80"
//   shutdown C rd|wr|rdwr         close C          reset C          pause MS
//   await C rings|moved           until somebody has moved it (rings.h)
#include "puppet.h"

#include <netinet/in.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <iterator>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "pattern.h"
#include "rings.h"
#include "socket.h"

namespace semantics {
namespace {

constexpr int kCommandSeconds = 12;

using Words = std::vector<std::string>;

class Puppet {
public:
    std::string run(const Words& words);

private:
    struct Command {
        size_t words;  // at least, with the command's own
        std::function<std::string(Puppet&, const Words&)> run;
    };
    static const std::map<std::string, Command>& commands();
    int fd(const std::string& name) { return sockets_[name].get(); }

    std::string listen(const Words& words);
    std::string accept(const Words& words);
    std::string connect(const Words& words);
    std::string pieces(const Words& words);
    std::string fill(const Words& words);
    std::string echo(const Words& words);
    std::string wait(const Words& words);
    std::string shutdown(const Words& words);

    std::map<std::string, Fd> sockets_;
};

uint64_t number(const std::string& word) { return std::strtoull(word.c_str(), nullptr, 10); }

std::string said(bool good) { return good ? "ok" : error_name(errno); }

std::string Puppet::listen(const Words& words) {
    const int backlog = words.size() > 4 ? static_cast<int>(number(words[4])) : 64;
    sockets_[words[1]] = listen_at(make_address(words[2], number(words[3])), backlog);
    return said(static_cast<bool>(sockets_[words[1]]));
}

std::string Puppet::accept(const Words& words) {
    sockets_[words[2]] = accept_from(fd(words[1]));
    return said(static_cast<bool>(sockets_[words[2]]));
}

std::string Puppet::connect(const Words& words) {
    const Address address = make_address(words[2], number(words[3]));
    sockets_[words[1]] = open_stream(address.family());
    return said(connect_to(fd(words[1]), address) == 0);
}

std::string Puppet::pieces(const Words& words) {
    const size_t size = number(words[3]);
    for (uint64_t i = 0; i < number(words[2]); ++i) {
        std::string sent = send_all(fd(words[1]), pattern(number(words[4]), size, i * size));
        if (sent != "ok") {
            return sent;
        }
        usleep(1000 * number(words[5]));
    }
    return "ok";
}

std::string Puppet::fill(const Words& words) {
    constexpr size_t kPiece = 10000;
    size_t total = 0;
    for (;;) {
        const std::vector<uint8_t> bytes = pattern(number(words[2]), kPiece, total);
        const ssize_t n = ::send(fd(words[1]), bytes.data(), kPiece, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0) {
            return errno == EAGAIN ? "ok " + std::to_string(total) : error_name(errno);
        }
        total += n;
    }
}

std::string Puppet::echo(const Words& words) {
    std::vector<uint8_t> bytes(20000);
    for (size_t left = number(words[2]); left > 0;) {
        const ssize_t n = recv(fd(words[1]), bytes.data(), std::min(left, bytes.size()), 0);
        if (n <= 0) {
            return n == 0 ? "end" : error_name(errno);
        }
        std::string sent = send_all(fd(words[1]), {bytes.begin(), bytes.begin() + n});
        if (sent != "ok") {
            return sent;
        }
        left -= n;
    }
    return "ok";
}

std::string Puppet::wait(const Words& words) {
    for (int turn = 0; turn < kWaitMs / 10; ++turn) {
        int waiting = 0;
        if (ioctl(fd(words[1]), FIONREAD, &waiting) != 0) {
            return error_name(errno);
        }
        if (waiting >= static_cast<int>(number(words[2]))) {
            return "ok";
        }
        usleep(10000);
    }
    return "ETIMEDOUT";
}

std::string Puppet::shutdown(const Words& words) {
    const int how = words[2] == "rd" ? SHUT_RD : words[2] == "wr" ? SHUT_WR : SHUT_RDWR;
    return said(::shutdown(fd(words[1]), how) == 0);
}

const std::map<std::string, Puppet::Command>& Puppet::commands() {
    using Us = Puppet&;
    using Line = const Words&;
    static const std::map<std::string, Command> known = {
        {"listen", {4, &Puppet::listen}},
        {"accept", {3, &Puppet::accept}},
        {"connect", {4, &Puppet::connect}},
        {"pieces", {6, &Puppet::pieces}},
        {"fill", {3, &Puppet::fill}},
        {"echo", {3, &Puppet::echo}},
        {"wait", {3, &Puppet::wait}},
        {"shutdown", {3, &Puppet::shutdown}},
        // No packet comes with this much time to live over a wire.
        {"deafen",
         {2,
          [](Us us, Line line) {
              return said(set_option(us.fd(line[1]), IPPROTO_IP, IP_MINTTL, 255) == 0);
          }}},
        {"send",
         {4,
          [](Us us, Line line) {
              return send_all(us.fd(line[1]), pattern(number(line[3]), number(line[2])));
          }}},
        {"recv",
         {4,
          [](Us us, Line line) {
              return expect_stream(us.fd(line[1]), number(line[2]), number(line[3]));
          }}},
        {"urgent",
         {2, [](Us us, Line line) { return said(::send(us.fd(line[1]), "!", 1, MSG_OOB) == 1); }}},
        {"await", {3, [](Us us, Line line) { return await_rings(us.fd(line[1]), line[2]); }}},
        {"next", {2, [](Us us, Line line) { return next(us.fd(line[1])); }}},
        {"name", {2, [](Us us, Line line) { return "ok " + name_of(us.fd(line[1])).text(); }}},
        {"peername", {2, [](Us us, Line line) { return "ok " + peer_of(us.fd(line[1])).text(); }}},
        {"close",
         {2,
          [](Us us, Line line) {
              us.sockets_[line[1]].reset();
              return std::string("ok");
          }}},
        {"reset",
         {2,
          [](Us us, Line line) {
              reset_connection(us.sockets_[line[1]]);
              return std::string("ok");
          }}},
        {"pause",
         {2,
          [](Us, Line line) {
              usleep(1000 * number(line[1]));
              return std::string("ok");
          }}},
    };
    return known;
}

std::string Puppet::run(const Words& words) {
    const auto found = commands().find(words.empty() ? "" : words[0]);
    if (found == commands().end() || words.size() < found->second.words) {
        return "no such command";
    }
    watch_time(kCommandSeconds);
    std::string answer = found->second.run(*this, words);
    watch_time(0);
    return answer;
}

int obey(Fd control) {
    Puppet puppet;
    FILE* in = fdopen(control.get(), "r");
    char line[256];
    while (fgets(line, sizeof(line), in) != nullptr) {
        std::istringstream stream(line);
        const Words words{std::istream_iterator<std::string>(stream), {}};
        const std::string answer = puppet.run(words) + "\n";
        if (::send(control.get(), answer.data(), answer.size(), MSG_NOSIGNAL) < 0) {
            break;
        }
    }
    return 0;
}

}  // namespace

int serve_puppets(uint16_t port) {
    const Fd listener = listen_at(make_address("0.0.0.0", port));
    if (!listener) {
        std::perror("semantics: listen");
        return 3;
    }
    signal(SIGCHLD, SIG_IGN);
    std::puts("listening");
    std::fflush(stdout);
    for (;;) {
        Fd control(::accept(listener.get(), nullptr, nullptr));
        if (control && fork() == 0) {
            // The next test's listeners shall not find this one's in their way.
            _exit(obey(std::move(control)));
        }
    }
}

}  // namespace semantics

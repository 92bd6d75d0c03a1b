// SPDX-License-Identifier: Apache-2.0
#include "exec_server.h"

#include <fcntl.h>
#include <pty.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <system_error>
#include <vector>

#include "base64.h"

namespace guest {
namespace {

using nlohmann::json;

constexpr const char* kPort = "smc-steer.exec";
constexpr std::size_t kChunk = 32768;

int must(int result, const char* what) {
    if (result < 0) {
        throw std::system_error(errno, std::generic_category(), what);
    }
    return result;
}

std::string first_line(const std::string& file) {
    std::string line;
    std::getline(std::ifstream(file), line);
    return line;
}

int open_port() {
    for (const auto& entry : std::filesystem::directory_iterator("/sys/class/virtio-ports")) {
        if (first_line(entry.path() / "name") == kPort) {
            auto device = "/dev/" + entry.path().filename().string();
            return must(open(device.c_str(), O_RDWR | O_CLOEXEC), device.c_str());
        }
    }
    errno = ENODEV;
    return must(-1, kPort);
}

struct Child {
    int number = 0;
    pid_t pid = 0;
    int in = -1;  // its standard input; a terminal's is its output, too
    bool terminal = false;
    std::map<int, const char*> streams;  // "out", "err"
};

void set_size(int fd, const json& size) {
    winsize window{};
    window.ws_row = size.at(0).get<unsigned short>();
    window.ws_col = size.at(1).get<unsigned short>();
    ioctl(fd, TIOCSWINSZ, &window);
}

struct Program {
    std::vector<std::string> argv;
    std::string directory;
    std::map<std::string, std::string> environment;
};

// In the child: becomes the program.
[[noreturn]] void become(const Program& program, const std::array<int, 3>& fds, bool terminal) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    for (int number : {SIGCHLD, SIGPIPE, SIGINT}) {
        signal(number, SIG_DFL);
    }
    setsid();
    for (int target = 0; target < 3; target++) {
        dup2(fds.at(target), target);
    }
    if (terminal) {
        ioctl(0, TIOCSCTTY, 0);
    }
    for (const auto& [name, value] : program.environment) {
        setenv(name.c_str(), value.c_str(), 1);
    }
    std::vector<char*> words;
    for (const auto& word : program.argv) {
        words.push_back(const_cast<char*>(word.c_str()));
    }
    words.push_back(nullptr);
    if (chdir(program.directory.c_str()) == 0) {
        close_range(3, ~0U, 0);
        execvp(words[0], words.data());
    }
    int error = errno;
    dprintf(2, "%s: %s\n", program.argv[0].c_str(), std::strerror(error));
    _exit(error == ENOENT ? 127 : 126);
}

class Server {
public:
    Server() : port_(open_port()), poll_(must(epoll_create1(EPOLL_CLOEXEC), "epoll")) {
        sigset_t ended;
        sigemptyset(&ended);
        sigaddset(&ended, SIGCHLD);
        sigprocmask(SIG_BLOCK, &ended, nullptr);
        signal(SIGPIPE, SIG_IGN);
        ended_ = must(signalfd(-1, &ended, SFD_CLOEXEC | SFD_NONBLOCK), "signalfd");
        watch(port_);
        watch(ended_);
    }

    [[noreturn]] void serve() {
        utsname system{};
        uname(&system);
        send(
            {{"hello", first_line("/proc/sys/kernel/random/boot_id")}, {"kernel", system.release}});
        for (;;) {
            std::array<epoll_event, 16> events{};
            int count = epoll_wait(poll_, events.data(), static_cast<int>(events.size()), -1);
            for (int at = 0; at < count; at++) {
                int fd = events.at(at).data.fd;
                if (fd == port_) {
                    on_port();
                } else if (fd == ended_) {
                    on_ended();
                } else if (auto stream = streams_.find(fd); stream != streams_.end()) {
                    on_output(*std::shared_ptr(stream->second), fd);
                }
            }
        }
    }

private:
    void watch(int fd) {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.fd = fd;
        must(epoll_ctl(poll_, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
    }

    void send(const json& frame) {
        auto data = frame.dump() + "\n";
        for (std::size_t at = 0; at < data.size();) {
            auto written = write(port_, data.data() + at, std::min(kChunk, data.size() - at));
            if (written < 0 && errno != EINTR) {
                return;  // nobody is there
            }
            at += written > 0 ? static_cast<std::size_t>(written) : 0;
        }
    }

    // Requests

    void on_port() {
        std::string data(kChunk, '\0');
        auto size = read(port_, data.data(), data.size());
        pending_.append(data.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
        for (std::size_t end; (end = pending_.find('\n')) != std::string::npos;) {
            auto line = pending_.substr(0, end);
            pending_.erase(0, end + 1);
            try {
                request(json::parse(line));
            } catch (const std::exception& error) {
                std::printf("guest_init: bad request: %s\n", error.what());
                std::fflush(stdout);
            }
        }
    }

    void request(const json& asked) {
        auto op = asked.at("op").get<std::string>();
        int number = asked.at("id").get<int>();
        if (op == "spawn") {
            try {
                spawn(number, asked);
            } catch (const std::exception& error) {
                send({{"id", number}, {"error", error.what()}});
            }
            return;
        }
        auto found = children_.find(number);
        if (found == children_.end()) {
            return;
        }
        auto child = found->second;
        if (op == "stdin") {
            input(*child, decode(asked.at("data").get<std::string>()));
        } else if (op == "signal") {
            kill(-child->pid, asked.at("number").get<int>());
        } else if (op == "resize" && child->in >= 0) {
            set_size(child->in, asked.at("pty"));
        }
    }

    void spawn(int number, const json& asked) {
        auto child = std::make_shared<Child>();
        child->number = number;
        child->terminal = asked.contains("pty") && !asked.at("pty").is_null();
        Program program{asked.at("argv").get<std::vector<std::string>>(),
                        asked.value("cwd", "/root"),
                        asked.value("env", std::map<std::string, std::string>{})};
        std::array<int, 3> theirs{};
        if (child->terminal) {
            int master = -1;
            int slave = -1;
            must(openpty(&master, &slave, nullptr, nullptr, nullptr), "openpty");
            set_size(slave, asked.at("pty"));
            theirs = {slave, slave, slave};
            child->in = master;
            child->streams[master] = "out";
        } else {
            theirs[0] = input_of(*child, asked.value("stdin", false));
            theirs[1] = output_of(*child, "out");
            theirs[2] = output_of(*child, "err");
        }
        child->pid = must(fork(), "fork");
        if (child->pid == 0) {
            become(program, theirs, child->terminal);
        }
        for (int at = 0; at < (child->terminal ? 1 : 3); at++) {
            close(theirs.at(at));
        }
        if (child->in >= 0) {
            fcntl(child->in, F_SETFD, FD_CLOEXEC);
        }
        for (const auto& [fd, name] : child->streams) {
            fcntl(fd, F_SETFD, FD_CLOEXEC);
            fcntl(fd, F_SETFL, O_NONBLOCK);
            streams_[fd] = child;
            watch(fd);
        }
        children_[number] = child;
        pids_[child->pid] = child;
    }

    static int input_of(Child& child, bool wanted) {
        if (!wanted) {
            return must(open("/dev/null", O_RDONLY), "/dev/null");
        }
        std::array<int, 2> ends{};
        must(pipe(ends.data()), "pipe");
        child.in = ends[1];
        return ends[0];
    }

    static int output_of(Child& child, const char* name) {
        std::array<int, 2> ends{};
        must(pipe(ends.data()), "pipe");
        child.streams[ends[0]] = name;
        return ends[1];
    }

    // Empty data is the end of its input.
    static void input(Child& child, const std::string& data) {
        if (child.in < 0) {
            return;
        }
        if (data.empty() && child.terminal) {
            (void)!write(child.in, "\x04", 1);
        } else if (data.empty()) {
            close(child.in);
            child.in = -1;
            return;
        }
        fcntl(child.in, F_SETFL, 0);  // waits for a program that reads slowly
        for (std::size_t at = 0; at < data.size();) {
            auto written = write(child.in, data.data() + at, data.size() - at);
            if (written < 0 && errno != EINTR) {
                break;  // it does not read any more
            }
            at += written > 0 ? static_cast<std::size_t>(written) : 0;
        }
        if (child.terminal) {
            fcntl(child.in, F_SETFL, O_NONBLOCK);
        }
    }

    // What children do

    // Sends what there is.
    void on_output(Child& child, int fd) {
        std::string data(kChunk, '\0');
        for (;;) {
            auto size = read(fd, data.data(), data.size());
            if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
                return;
            }
            if (size <= 0) {  // EIO: the last user of the terminal is gone
                epoll_ctl(poll_, EPOLL_CTL_DEL, fd, nullptr);
                child.streams.erase(fd);
                streams_.erase(fd);
                if (fd != child.in) {
                    close(fd);
                }
                return;
            }
            send({{"id", child.number},
                  {child.streams.at(fd), encode({data.data(), static_cast<std::size_t>(size)})}});
        }
    }

    void on_ended() {
        signalfd_siginfo info{};
        while (read(ended_, &info, sizeof(info)) > 0) {
        }
        int status = 0;
        for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
            if (auto found = pids_.find(pid); found != pids_.end()) {
                auto child = found->second;
                pids_.erase(found);
                say_end(*child, status);
            }
        }
    }

    // Its output before its end; a background child that still holds the pipe does not hold the
    // answer back.
    void say_end(Child& child, int status) {
        for (const auto& [fd, name] : std::map(child.streams)) {
            on_output(child, fd);
        }
        children_.erase(child.number);
        if (child.in >= 0 && !child.streams.contains(child.in)) {
            close(child.in);
        }
        child.in = -1;
        int code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
        send({{"id", child.number}, {"exit", code}});
    }

    int port_;
    int poll_;
    int ended_ = -1;
    std::string pending_;
    std::map<int, std::shared_ptr<Child>> children_;  // by the number they were asked for with
    std::map<pid_t, std::shared_ptr<Child>> pids_;
    std::map<int, std::shared_ptr<Child>> streams_;  // by descriptor; may outlive the others
};

}  // namespace

void serve() { Server().serve(); }

}  // namespace guest

// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "agent/base/event_loop.h"
#include "agent/base/log.h"
#include "broker/options.h"
#include "broker/server.h"

namespace smc_steer::broker {
namespace {

constexpr int kExitFailure = 1;
constexpr int kExitBadInput = 2;

// The file with the process id, removed at the end.
class PidFile {
public:
    static Result<PidFile> create(const std::string& path) {
        if (path.empty()) {
            return PidFile("");
        }
        UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
        if (!fd) {
            return fail_errno(errno, "--pid-file {}", path);
        }
        PidFile file(path);
        std::string text = fmt::format("{}\n", getpid());
        if (write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
            return fail_errno(errno, "--pid-file {}: cannot write", path);
        }
        return file;
    }
    PidFile(PidFile&& other) noexcept : path_(std::exchange(other.path_, {})) {}
    PidFile& operator=(PidFile&&) = delete;
    PidFile(const PidFile&) = delete;
    PidFile& operator=(const PidFile&) = delete;
    ~PidFile() {
        if (!path_.empty()) {
            unlink(path_.c_str());
        }
    }

private:
    explicit PidFile(std::string path) : path_(std::move(path)) {}
    std::string path_;
};

// Slots times vectors eventfds, also while they are in flight to a client that does not read, can
// be more than the usual soft limit of 1024.
void raise_descriptor_limit() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int complain(const Error& error, int code) {
    fmt::print(stderr, "ivpci-broker: {}\n", error.message);
    return code;
}

Result<int> serve(EventLoop& loop, Listener& listener, const Region& region,
                  const Options& options) {
    auto term = loop.on_signal(SIGTERM, [&] { loop.exit(0); });
    if (!term) {
        return forward_error(std::move(term));
    }
    auto interrupt = loop.on_signal(SIGINT, [&] { loop.exit(0); });
    if (!interrupt) {
        return forward_error(std::move(interrupt));
    }
    Server server(loop, listener, region, options.vectors);
    auto started = server.start();
    if (!started) {
        return forward_error(std::move(started));
    }
    spdlog::info("serving {} slots on {}: {} chunks of 1 MiB", options.layout.slots, options.socket,
                 options.layout.chunks);
    sd_notify(0, "READY=1");
    auto code = loop.run();
    sd_notify(0, "STOPPING=1");
    server.stop();
    return code;
}

int run(const Options& options) {
    log_init("ivpci-broker", options.log_level);
    raise_descriptor_limit();
    auto loop = EventLoop::create();
    if (!loop) {
        return complain(loop.error(), kExitFailure);
    }
    auto region = Region::create(options.layout);
    if (!region) {
        return complain(region.error(), kExitFailure);
    }
    auto listener = Listener::create(options.socket, options.mode);
    if (!listener) {
        return complain(listener.error(), kExitBadInput);
    }
    auto pid_file = PidFile::create(options.pid_file);
    if (!pid_file) {
        return complain(pid_file.error(), kExitBadInput);
    }
    auto code = serve(*loop, *listener, *region, options);
    return code ? *code : complain(code.error(), kExitFailure);
}

}  // namespace
}  // namespace smc_steer::broker

int main(int argc, char** argv) {
    using namespace smc_steer::broker;
    auto parsed = parse_options({argv + 1, argv + argc});
    if (!parsed) {
        return complain(parsed.error(), kExitBadInput);
    }
    if (auto* information = std::get_if<Information>(&*parsed)) {
        std::fputs(information->text.c_str(), stdout);
        return 0;
    }
    return run(std::get<Options>(*parsed));
}

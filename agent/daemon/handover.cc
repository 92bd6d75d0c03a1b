// SPDX-License-Identifier: Apache-2.0
#include "agent/daemon/handover.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>

#include "agent/base/argv.h"

namespace smc_steer {
namespace {

using nlohmann::json;

constexpr int kHandoverVersion = 1;
constexpr auto kHandoverPatience = std::chrono::seconds(10);

std::vector<int> descriptors(const HandoverPlan& plan) {
    std::vector<int> all{plan.lock, plan.listener};
    if (plan.device >= 0) {
        all.push_back(plan.device);
    }
    all.insert(all.end(), plan.steer.begin(), plan.steer.end());
    for (const auto& [name, fd] : plan.flows) {
        all.push_back(fd);
    }
    if (plan.link_listener >= 0) {
        all.push_back(plan.link_listener);
    }
    for (const auto& link : plan.links) {
        all.push_back(link.fd);
    }
    return all;
}

bool keep_over_exec(int fd, bool keep) { return fcntl(fd, F_SETFD, keep ? 0 : FD_CLOEXEC) == 0; }

Result<UniqueFd> written(const std::string& text) {
    UniqueFd file(memfd_create("smc-agent-handover", MFD_CLOEXEC));
    if (!file || write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
        return fail_errno("cannot write down what to hand over");
    }
    return file;
}

Result<UniqueFd> adopt(const json& number) {
    // F_GETFD fails for what is not open; a wrong number must not become ours.
    if (!number.is_number_integer()) {
        return fail("--resume: not a descriptor");
    }
    int fd = number.get<int>();
    if (fd <= STDERR_FILENO || !keep_over_exec(fd, false)) {
        return fail("--resume: descriptor {} is not open", fd);
    }
    return UniqueFd(fd);
}

// `object` is one of hand_over()'s: of our own making, but maybe of another version of us.
Result<void> read_into(json object, Handover& handover) {
    auto take = [](const json& number, UniqueFd& place) -> Result<void> {
        auto fd = adopt(number);
        if (!fd) {
            return tl::unexpected(fd.error());
        }
        place = std::move(*fd);
        return {};
    };
    for (auto done :
         {take(object["lock"], handover.lock), take(object["listener"], handover.listener)}) {
        if (!done) {
            return done;
        }
    }
    if (object["device"].is_number_integer()) {
        if (auto done = take(object["device"], handover.device); !done) {
            return done;
        }
        handover.device_path = object.value("device_path", "");
    }
    for (const auto& number : object["steer"]) {
        if (auto done = take(number, handover.steer.emplace_back()); !done) {
            return done;
        }
    }
    for (const auto& [name, number] : object["flows"].items()) {
        if (auto done = take(number, handover.flows[name]); !done) {
            return done;
        }
    }
    if (object["link_listener"].is_number_integer()) {
        if (auto done = take(object["link_listener"], handover.links.listener); !done) {
            return done;
        }
        handover.link_port = object.value("link_port", std::uint16_t{0});
    }
    for (const auto& link : object["links"]) {
        auto& held = handover.links.held.emplace_back();
        held.slot = link.value("slot", 0U);
        held.generation = link.value("generation", 0U);
        held.incoming = link.value("incoming", false);
        if (auto done = take(link.value("fd", json()), held.fd); !done) {
            return done;
        }
    }
    handover.links.made = object.value("links_made", std::uint64_t{0});
    handover.state = object["state"];
    handover.upgrades = object.value("upgrades", 0);
    return {};
}

}  // namespace

Error hand_over(const HandoverPlan& plan, const std::vector<std::string>& argv) {
    json links = json::array();
    for (const auto& link : plan.links) {
        links.push_back({{"slot", link.slot},
                         {"generation", link.generation},
                         {"incoming", link.incoming},
                         {"fd", link.fd}});
    }
    json object = {
        {"version", kHandoverVersion},
        {"lock", plan.lock},
        {"listener", plan.listener},
        {"device", plan.device >= 0 ? json(plan.device) : json()},
        {"device_path", plan.device_path},
        {"steer", plan.steer},
        {"flows", plan.flows},
        {"link_listener", plan.link_listener >= 0 ? json(plan.link_listener) : json()},
        {"link_port", plan.link_port},
        {"links", std::move(links)},
        {"links_made", plan.links_made},
        {"state", plan.state},
        {"upgrades", plan.upgrades},
    };
    auto file = written(object.dump(-1, ' ', false, json::error_handler_t::replace));
    if (!file) {
        return file.error();
    }
    auto words = argv;
    words.insert(words.end(), {"--resume", fmt::to_string(file->get())});
    auto all = descriptors(plan);
    all.push_back(file->get());
    for (int fd : all) {
        keep_over_exec(fd, true);
    }
    auto list = argv_of(words);
    execv(list[0], list.data());
    int error = errno;
    for (int fd : all) {
        keep_over_exec(fd, false);
    }
    return fail_errno(error, "cannot run {}", argv[0]).value();
}

Result<Handover> receive_handover(const std::string& descriptor) {
    int number = -1;
    const char* last = descriptor.data() + descriptor.size();
    auto [end, error] = std::from_chars(descriptor.data(), last, number);
    if (error != std::errc{} || end != last) {
        return fail("--resume: '{}' is not a descriptor", descriptor);
    }
    auto file = adopt(number);
    if (!file) {
        return tl::unexpected(file.error());
    }
    std::string text;
    char room[16384];
    for (off_t at = 0;;) {
        ssize_t n = pread(file->get(), room, sizeof(room), at);
        if (n < 0) {
            return fail_errno("--resume: cannot read");
        }
        if (n == 0) {
            break;
        }
        text.append(room, static_cast<std::size_t>(n));
        at += n;
    }
    auto object = json::parse(text, nullptr, false);
    if (!object.is_object() || object.value("version", 0) != kHandoverVersion) {
        return fail("--resume: not written by an smc-agent of this kind");
    }
    Handover handover;
    if (auto done = read_into(object, handover); !done) {
        return tl::unexpected(done.error());
    }
    return handover;
}

Result<void> try_out(const std::vector<std::string>& argv) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return fail_errno("cannot make a pipe");
    }
    UniqueFd out(ends[0]);
    UniqueFd in(ends[1]);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in.get(), STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, in.get(), STDERR_FILENO);
    auto words = argv_of(argv);
    pid_t pid = 0;
    int error = posix_spawn(&pid, words[0], &actions, nullptr, words.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error) {
        return fail_errno(error, "cannot run {}", argv[0]);
    }
    in.reset();

    std::string text;
    auto deadline = std::chrono::steady_clock::now() + kHandoverPatience;
    for (;;) {
        auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
            deadline - std::chrono::steady_clock::now());
        pollfd wait{out.get(), POLLIN, 0};
        if (left.count() <= 0 || poll(&wait, 1, static_cast<int>(left.count())) == 0) {
            kill(pid, SIGKILL);
            waitpid(pid, nullptr, 0);
            return fail("{} does not end", argv[0]);
        }
        char room[4096];
        ssize_t n = read(out.get(), room, sizeof(room));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            break;
        }
        text.append(room, static_cast<std::size_t>(n));
        if (text.size() > 65536) {
            text.erase(0, text.size() - 4096);
        }
    }
    int status = 0;
    waitpid(pid, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return {};
    }
    while (!text.empty() && text.back() == '\n') {
        text.pop_back();
    }
    auto line = text.substr(text.rfind('\n') == std::string::npos ? 0 : text.rfind('\n') + 1);
    return fail("{} would not start: {}", argv[0], line.empty() ? "it says nothing" : line);
}

}  // namespace smc_steer

// SPDX-License-Identifier: Apache-2.0
#include "agent/workloads/cri_pods.h"

#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace smc_steer {
namespace {

bool is_socket(const std::string& path) {
    struct stat st {};
    return stat(path.c_str(), &st) == 0 && S_ISSOCK(st.st_mode);
}

}  // namespace

const std::vector<std::string>& cri_sockets() {
    static const std::vector<std::string> known{"/run/containerd/containerd.sock",
                                                "/run/crio/crio.sock", "/run/cri-dockerd.sock",
                                                "/run/k3s/containerd/containerd.sock"};
    return known;
}

Result<std::unique_ptr<CriPods>> CriPods::start(EventLoop& loop, std::vector<std::string> sockets,
                                                std::function<void()> on_change, CriTimes times) {
    std::unique_ptr<CriPods> self(
        new CriPods(loop, std::move(sockets), std::move(on_change), times));
    self->news_ = UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!self->news_) {
        return fail_errno(errno, "cannot make an eventfd");
    }
    auto source = loop.on_io(self->news_.get(), EPOLLIN,
                             [raw = self.get()](std::uint32_t) { raw->on_news(); });
    if (!source) {
        return tl::unexpected(source.error());
    }
    self->on_news_ = std::move(*source);
    self->refresh();
    return self;
}

void CriPods::refresh() {
    for (const auto& socket : sockets_) {
        if (auto known = runtimes_.find(socket); known != runtimes_.end()) {
            known->second->start();
            continue;
        }
        if (!is_socket(socket)) {
            continue;
        }
        auto ring = [fd = news_.get()] {
            std::uint64_t one = 1;
            // Full means that the loop has not even read the one before.
            [[maybe_unused]] auto done = ::write(fd, &one, sizeof(one));
        };
        runtimes_[socket] = std::make_unique<CriRuntime>(socket, times_, ring);
    }
}

void CriPods::wait_for_first(std::chrono::milliseconds most) {
    auto until = std::chrono::steady_clock::now() + most;
    for (;;) {
        bool silent = false;
        for (const auto& state : runtimes()) {
            silent = silent || (state.runtime.empty() && state.problem.empty());
        }
        auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
            until - std::chrono::steady_clock::now());
        if (!silent || left.count() <= 0) {
            break;
        }
        pollfd news{news_.get(), POLLIN, 0};
        if (poll(&news, 1, static_cast<int>(left.count())) > 0) {
            on_news();
        }
    }
    on_news();
}

void CriPods::expect(bool pods) {
    if (!pods || runtimes_.empty()) {
        patience_ = {};
        return;
    }
    patience_ = std::chrono::steady_clock::now() + times_.patience;
    if (!again_.active()) {
        ask_again();
    }
}

void CriPods::ask_again() {
    again_.reset();
    if (std::chrono::steady_clock::now() >= patience_) {
        return;
    }
    for (auto& [socket, runtime] : runtimes_) {
        runtime->ask();
    }
    if (auto later = loop_.after(times_.urgent, [this] { ask_again(); })) {
        again_ = std::move(*later);
    }
}

void CriPods::on_news() {
    std::uint64_t ignored = 0;
    [[maybe_unused]] auto done = ::read(news_.get(), &ignored, sizeof(ignored));
    std::map<std::string, Pod> all;  // by UID or, where there is none, by an id
    for (auto& state : runtimes()) {
        auto& problem = problems_[state.socket];
        if (problem != state.problem) {
            problem = state.problem;
            if (!problem.empty()) {
                spdlog::warn("{}: {}; what it said before stays", state.socket, problem);
            } else {
                spdlog::info("{}: {} answers", state.socket, state.runtime);
            }
        }
        for (auto& pod : state.pods) {
            auto key = !pod.uid.empty() ? pod.uid : pod.ids.empty() ? to_string(pod) : pod.ids[0];
            // Two runtimes may tell of one: cri-dockerd and the containerd below it.
            auto [entry, added] = all.try_emplace(key, pod);
            if (!added) {
                entry->second.ids.insert(entry->second.ids.end(), pod.ids.begin(), pod.ids.end());
            }
        }
    }
    std::vector<Pod> pods;
    std::set<std::string> complained;
    for (auto& [key, pod] : all) {
        if (!pod.complaint.empty()) {
            auto complaint = "pod " + to_string(pod) + ": " + pod.complaint;
            if (!complained_.contains(complaint)) {
                spdlog::warn("{}", complaint);
            }
            complained.insert(std::move(complaint));
        }
        pods.push_back(std::move(pod));
    }
    complained_ = std::move(complained);
    if (pods != pods_) {
        pods_ = std::move(pods);
        on_change_();
    }
}

std::vector<CriState> CriPods::runtimes() const {
    std::vector<CriState> states;
    for (const auto& [socket, runtime] : runtimes_) {
        states.push_back(runtime->state());
    }
    return states;
}

}  // namespace smc_steer

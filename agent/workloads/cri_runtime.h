// SPDX-License-Identifier: Apache-2.0
// One container runtime that is asked over CRI which pods it runs. The calls block a thread of
// their own and nobody else.
#ifndef SMC_STEER_AGENT_WORKLOADS_CRI_RUNTIME_H
#define SMC_STEER_AGENT_WORKLOADS_CRI_RUNTIME_H

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "agent/policy/pod.h"

namespace grpc {
class ClientContext;
}

namespace smc_steer {

struct CriTimes {
    std::chrono::milliseconds call{2000};      // what an answer may take
    std::chrono::milliseconds period{5000};    // between two rounds that nobody asked for
    std::chrono::milliseconds urgent{100};     // between rounds while pods are expected
    std::chrono::milliseconds patience{5000};  // for an expected pod
};

struct CriState {
    std::string socket;
    std::string runtime;  // "containerd 1.6.20"; empty: it has never answered
    std::string problem;  // of the last round; empty: it was answered
    // As last answered, whatever became of the runtime since: pods live on without it.
    std::vector<Pod> pods;

    bool operator==(const CriState&) const = default;
};

class CriRuntime {
public:
    // `socket`: path. `on_news`: the state is another one; called on the thread.
    CriRuntime(std::string socket, CriTimes times, std::function<void()> on_news);
    // Cancels the call under way.
    ~CriRuntime();
    CriRuntime(const CriRuntime&) = delete;
    CriRuntime& operator=(const CriRuntime&) = delete;

    // Goes on where there was no room for a thread before. Of the thread that made it, as ask().
    void start();
    // A round, soon. Never waits.
    void ask();
    CriState state() const;

private:
    void run();
    CriState round(CriState state);

    const std::string socket_;
    const CriTimes times_;
    const std::function<void()> on_news_;
    mutable std::mutex mutex_;  // of all that follows
    std::condition_variable wake_;
    bool asked_ = true;
    bool stop_ = false;
    grpc::ClientContext* call_ = nullptr;  // under way
    CriState state_;
    std::thread thread_;
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_WORKLOADS_CRI_RUNTIME_H

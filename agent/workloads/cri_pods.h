// SPDX-License-Identifier: Apache-2.0
// The pods of this machine, as its container runtimes tell of them. A runtime that is not there
// costs a look for its socket; one that hangs, dies or talks nonsense leaves what is known as it
// is.
#ifndef SMC_STEER_AGENT_WORKLOADS_CRI_PODS_H
#define SMC_STEER_AGENT_WORKLOADS_CRI_PODS_H

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "agent/base/event_loop.h"
#include "agent/base/unique_fd.h"
#include "agent/workloads/cri_runtime.h"

namespace smc_steer {

// Where runtimes that serve CRI listen, for the usual ones.
const std::vector<std::string>& cri_sockets();

class CriPods {
public:
    // `on_change`: pods() are others now; called from the loop. Sockets that are not there yet are
    // looked for by refresh().
    static Result<std::unique_ptr<CriPods>> start(EventLoop& loop, std::vector<std::string> sockets,
                                                  std::function<void()> on_change,
                                                  CriTimes times = {});

    // At the start: until every runtime has said something, at most so long. The only call that
    // waits.
    void wait_for_first(std::chrono::milliseconds most);
    // From time to time.
    void refresh();
    // A control group of a pod that pods() do not know has come: asks again and again, until
    // `expect(false)` or for as long as it makes sense.
    void expect(bool pods);

    // Each once, in a lasting order.
    const std::vector<Pod>& pods() const { return pods_; }
    std::vector<CriState> runtimes() const;
    bool asks() const { return !runtimes_.empty(); }

private:
    CriPods(EventLoop& loop, std::vector<std::string> sockets, std::function<void()> on_change,
            CriTimes times)
        : loop_(loop),
          sockets_(std::move(sockets)),
          on_change_(std::move(on_change)),
          times_(times) {}
    void on_news();
    void ask_again();

    EventLoop& loop_;
    std::vector<std::string> sockets_;
    std::function<void()> on_change_;
    CriTimes times_;
    std::vector<Pod> pods_;
    std::set<std::string> complained_;
    std::map<std::string, std::string> problems_;  // by socket, as last logged
    std::chrono::steady_clock::time_point patience_;
    UniqueFd news_;  // eventfd, written by the runtimes' threads
    EventSource on_news_;
    EventSource again_;
    std::map<std::string, std::unique_ptr<CriRuntime>> runtimes_;  // by socket; ends first
};

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_WORKLOADS_CRI_PODS_H

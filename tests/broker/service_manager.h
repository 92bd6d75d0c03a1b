// SPDX-License-Identifier: Apache-2.0
// As much of systemd as a descriptor store needs: NOTIFY_SOCKET, FDSTORE, FDSTOREREMOVE, and
// LISTEN_FDS for the next process. (sd_notify(3), sd_listen_fds(3))
#ifndef SMC_STEER_TESTS_BROKER_SERVICE_MANAGER_H
#define SMC_STEER_TESTS_BROKER_SERVICE_MANAGER_H

#include <sys/types.h>

#include <atomic>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/broker/client.h"

namespace smc_steer::tests {

class ServiceManager {
public:
    explicit ServiceManager(const TempDir& dir);
    ~ServiceManager();
    ServiceManager(const ServiceManager&) = delete;
    ServiceManager& operator=(const ServiceManager&) = delete;

    // Starts `command` with everything that is in the store; its stderr goes to `err`.
    pid_t start(const std::vector<std::string>& command, const std::string& err);

    // Everything the service said so far is read after this. (It is read all the time anyway: a
    // service that nobody listens to waits.)
    void listen();
    // ... until it is ready.
    bool ready(milliseconds limit = milliseconds(10000));

    [[nodiscard]] size_t kept();

private:
    void take(const std::string& text, UniqueFd fd);
    std::string path_;
    UniqueFd socket_;
    std::mutex mutex_;  // of the two below
    std::map<std::string, UniqueFd> store_;
    bool ready_ = false;
    std::atomic<bool> end_ = false;
    std::thread thread_;
};

}  // namespace smc_steer::tests

#endif  // SMC_STEER_TESTS_BROKER_SERVICE_MANAGER_H

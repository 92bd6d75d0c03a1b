// SPDX-License-Identifier: Apache-2.0
#include "broker/fd_store.h"

#include <spdlog/spdlog.h>
#include <systemd/sd-daemon.h>

#include <cstdlib>
#include <utility>

namespace smc_steer::broker {

Result<FdStore> FdStore::inherit() {
    FdStore store;
    store.enabled_ = std::getenv("NOTIFY_SOCKET") != nullptr;
    char** names = nullptr;
    int n = sd_listen_fds_with_names(1, &names);
    if (n < 0) {
        return fail_errno(-n, "descriptors of the service manager (LISTEN_FDS)");
    }
    for (int i = 0; i < n; ++i) {
        store.kept_.insert(names[i]);
        store.inherited_.insert_or_assign(names[i], UniqueFd(SD_LISTEN_FDS_START + i));
        std::free(names[i]);
    }
    std::free(names);
    return store;
}

UniqueFd FdStore::take(const std::string& name) {
    auto found = inherited_.find(name);
    if (found == inherited_.end()) {
        return UniqueFd();
    }
    UniqueFd fd = std::move(found->second);
    inherited_.erase(found);
    return fd;
}

void FdStore::keep(const std::string& name, int fd) {
    if (!enabled_) {
        return;
    }
    // FDPOLL=0: a doorbell whose counter a guest has filled up polls as an error, and must not be
    // thrown out for that. That a socket has ended is for us to notice.
    auto text = fmt::format("FDSTORE=1\nFDPOLL=0\nFDNAME={}", name);
    kept_.insert(name);
    int r = sd_pid_notify_with_fds(0, 0, text.c_str(), &fd, 1);
    if (r < 0) {
        spdlog::error("event=not-kept name={} error=\"{}\"", name,
                      std::generic_category().message(-r));
    }
}

void FdStore::forget(const std::string& name) {
    if (kept_.erase(name) != 0 && enabled_) {
        sd_notify(0, fmt::format("FDSTOREREMOVE=1\nFDNAME={}", name).c_str());
    }
}

void FdStore::forget_rest() {
    for (auto& [name, fd] : inherited_) {
        forget(name);
    }
    inherited_.clear();
}

}  // namespace smc_steer::broker

// SPDX-License-Identifier: Apache-2.0
#include "agent/daemon/cleanup.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "agent/kernel/bpf_object.h"
#include "agent/kernel/direct_device.h"
#include "agent/kernel/netns.h"
#include "agent/kernel/pins.h"
#include "agent/kernel/smc_netlink.h"
#include "agent/kernel/struct_ops.h"
#include "agent/kernel/sysctl.h"

namespace smc_steer {
namespace {

using Did = std::vector<std::string>;

// The lock of the control socket, so that no agent starts meanwhile. None: there is no file, so
// nobody holds it.
Result<UniqueFd> lock_out_agents(const std::string& socket_path) {
    UniqueFd lock(open((socket_path + ".lock").c_str(), O_RDWR | O_CLOEXEC));
    if (!lock && errno != ENOENT) {
        return fail_errno(errno, "{}.lock: cannot open", socket_path);
    }
    if (lock && flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
        return fail_errno(EADDRINUSE, "smc-agent is running: stop it first, that cleans up too");
    }
    return lock;
}

// One namespace, from inside it.
Result<void> restore_namespace(const SavedState& state, NetnsId id, Did& did) {
    auto now = read_sysctl("net.smc.hs_ctrl");
    if (!now) {
        return {};  // SMC is not loaded, so it has no settings
    }
    SavedSysctls saved;
    if (auto entry = state.namespaces.find(id); entry != state.namespaces.end()) {
        saved = entry->second;
    }
    if (!is_handshake_name(*now) && !saved.wmem && !saved.rmem && !saved.limited) {
        return {};
    }
    auto set = state.set;
    if (is_handshake_name(*now)) {
        set.hs_ctrl = *now;
    }
    if (auto done = restore_sysctls(set, saved); !done) {
        return done;
    }
    if (saved.limited) {
        auto smc = SmcNetlink::open();
        if (auto done = smc ? smc->unlimit_handshakes() : tl::unexpected(smc.error()); !done) {
            return done;
        }
    }
    did.push_back(fmt::format("net:[{}]: net.smc settings put back", id.inode));
    return {};
}

Result<void> restore_namespaces(const SavedState& state, Did& did) {
    for (const auto& entry : list_netns()) {
        auto fd = open_netns(entry.second, entry.first);
        if (!fd) {
            return tl::unexpected(fd.error());
        }
        if (!*fd) {
            continue;
        }
        auto done = run_in_netns(*fd, [&] { return restore_namespace(state, entry.first, did); });
        if (!done) {
            return done;
        }
    }
    return {};
}

Result<void> drop_registrations(Did& did) {
    auto registrations = list_registrations();
    if (!registrations) {
        return tl::unexpected(registrations.error());
    }
    for (const auto& registration : *registrations) {
        if (auto done = unregister(registration); !done) {
            return done;
        }
        did.push_back(fmt::format("handshake {} unregistered", registration.name));
    }
    return {};
}

Result<void> remove_eid(const SavedState& state, Did& did) {
    if (!state.remove_eid) {
        return {};
    }
    auto smc = SmcNetlink::open();
    if (!smc) {
        return {};  // SMC is gone, and its EIDs with it
    }
    if (auto done = smc->remove_ueid(state.eid); !done) {
        return done;
    }
    did.push_back(fmt::format("EID {} removed", state.eid));
    return {};
}

}  // namespace

Result<void> take_smc_back(const SavedState& state, Did& did) {
    bpf_log_init();  // what is not there is no news
    for (auto done :
         {restore_namespaces(state, did), drop_registrations(did), remove_eid(state, did)}) {
        if (!done) {
            return done;
        }
    }
    Pins pins;
    if (auto version = pins.version(); version && *version) {
        pins.remove();
        did.push_back(pins.directory() + " removed");
    }
    return {};
}

Result<Did> clean_up(const std::string& socket_path) {
    auto lock = lock_out_agents(socket_path);
    if (!lock) {
        return tl::unexpected(lock.error());
    }
    auto state_path = saved_state_path(socket_path);
    auto loaded = load_saved_state(state_path);
    SavedState state = loaded && *loaded ? std::move(**loaded) : SavedState();

    Did did;
    if (auto done = take_smc_back(state, did); !done) {
        return tl::unexpected(done.error());
    }
    if (auto device = DirectDevice::open()) {
        if (auto count = device->detach_all()) {
            did.push_back(fmt::format("{} connections that were moved are back on TCP", count));
        }
    }
    for (const auto& path : {state_path, socket_path, socket_path + ".lock"}) {
        if (unlink(path.c_str()) == 0) {
            did.push_back(path + " removed");
        }
    }
    return did;
}

}  // namespace smc_steer

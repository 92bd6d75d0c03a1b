// SPDX-License-Identifier: Apache-2.0
#include "agent/daemon/access.h"

#include <grp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace smc_steer {
namespace {

bool in_group(const Caller& caller, const std::optional<gid_t>& group) {
    return group &&
           std::find(caller.groups.begin(), caller.groups.end(), *group) != caller.groups.end();
}

Result<gid_t> find_group(const char* key, const std::string& name) {
    group entry{};
    group* found = nullptr;
    std::array<char, 16384> room{};
    int error = getgrnam_r(name.c_str(), &entry, room.data(), room.size(), &found);
    if (!found) {
        return error ? fail_errno(error, "control: {}: group '{}'", key, name)
                     : fail("control: {}: there is no group '{}'", key, name);
    }
    return entry.gr_gid;
}

}  // namespace

Result<Caller> caller_of(int fd) {
    ucred peer{};
    socklen_t length = sizeof(peer);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) {
        return fail_errno("cannot tell who is calling");
    }
    Caller caller{peer.uid, {peer.gid}};
    std::vector<gid_t> groups(64);
    for (int attempt = 0; attempt < 2; attempt++) {
        length = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &length) == 0) {
            groups.resize(length / sizeof(gid_t));
            caller.groups.insert(caller.groups.end(), groups.begin(), groups.end());
            return caller;
        }
        if (errno != ERANGE) {
            break;
        }
        groups.resize(length / sizeof(gid_t));
    }
    return caller;
}

bool Access::may_read(const Caller& caller) const {
    return all_read || may_write(caller) || in_group(caller, readers);
}

bool Access::may_write(const Caller& caller) const {
    return is_owner(caller) || in_group(caller, writers);
}

Result<Access> resolve_access(const std::string& read, const std::string& write) {
    Access access;
    access.all_read = read == "all";
    if (read != "all" && read != "root") {
        auto group = find_group("read", read);
        if (!group) {
            return tl::unexpected(group.error());
        }
        access.readers = *group;
    }
    if (write != "root") {
        auto group = find_group("write", write);
        if (!group) {
            return tl::unexpected(group.error());
        }
        access.writers = *group;
    }
    return access;
}

}  // namespace smc_steer

// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/guards.h"

#include <bpf/bpf.h>
#include <fmt/format.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <smc_steer/services_abi.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <set>
#include <utility>

namespace smc_steer {
namespace {

namespace fs = std::filesystem;

constexpr std::uint32_t kZero = 0;
constexpr const char* kLeaving = "guard_leaving";
constexpr const char* kOpened = "device_opened";
constexpr int kDumpTries = 8;
// linux/bpf.h of Debian 12 is older: BPF_LINK_TYPE_TCX, and what comes first of its information
// is where that of XDP has the same.
constexpr std::uint32_t kLinkTypeTcx = 11;

int map_of(const SharedMaps& maps, const char* name) {
    auto entry = maps.find(name);
    return entry == maps.end() ? -1 : entry->second;
}

}  // namespace

Result<Guards> Guards::open(BpfObject object, SharedMaps& maps, const std::vector<Cidr>& services,
                            std::string directory) {
    if (auto done = object.load(maps); !done) {
        return tl::unexpected(done.error());
    }
    auto news = NetlinkSocket::open(NETLINK_ROUTE, RTMGRP_LINK);
    auto ask = NetlinkSocket::open(NETLINK_ROUTE);
    if (!news || !ask) {
        return tl::unexpected(news ? ask.error() : news.error());
    }
    Guards self(std::move(object), std::move(*news), std::move(*ask), std::move(directory));
    std::error_code error;
    fs::create_directories(self.directory_, error);
    if (error) {
        return fail_errno(error.value(), "cannot make {}", self.directory_);
    }
    if (auto done = self.fill(maps, services); !done) {
        return tl::unexpected(done.error());
    }
    if (auto done = self.watch_devices(); !done) {
        return tl::unexpected(done.error());
    }
    return self;
}

Guards::~Guards() {
    if (directory_.empty()) {
        return;  // moved from
    }
    links_.clear();
    opened_.reset();
    std::error_code ignored;
    fs::remove_all(directory_, ignored);
}

Result<void> Guards::fill(const SharedMaps& maps, const std::vector<Cidr>& services) {
    guard_ = map_of(maps, "guard");
    devices_opened_ = map_of(maps, "opened");
    int ranges = map_of(maps, "services");
    struct stat own {};
    if (stat("/proc/self/ns/net", &own) != 0) {
        return fail_errno(errno, "cannot stat /proc/self/ns/net");
    }
    netns_ = static_cast<std::uint32_t>(own.st_ino);
    if (auto done = stop_offers(); !done) {
        return done;
    }
    for (const auto& service : services) {
        steer_prefix key{};
        std::uint8_t one = 1;
        key.length = static_cast<std::uint32_t>(service.length);
        std::memcpy(key.in6, service.in6.data(), sizeof(key.in6));
        if (bpf_map_update_elem(ranges, &key, &one, BPF_ANY) != 0) {
            return fail_errno(errno, "cannot add {} to the services", to_string(service));
        }
    }
    return {};
}

// A predecessor's goes once ours counts.
Result<void> Guards::watch_devices() {
    auto* program = object_.program(kOpened);
    if (!program) {
        return fail("BPF services: has no program {}", kOpened);
    }
    opened_ = UniqueFd(bpf_link_create(bpf_program__fd(program), 0,
                                       bpf_program__expected_attach_type(program), nullptr));
    if (!opened_) {
        return fail_errno(errno, "BPF services: cannot attach to dev_activate()");
    }
    auto pin = pin_of(kOpened);
    std::remove(pin.c_str());
    if (bpf_obj_pin(opened_.get(), pin.c_str()) != 0) {
        return fail_errno(errno, "cannot pin {}", pin);
    }
    return {};
}

Result<std::vector<Guards::Device>> Guards::list() {
    Result<int> answer = EINTR;
    for (int i = 0; i < kDumpTries && answer && *answer == EINTR; i++) {
        std::vector<Device> devices;
        NetlinkRequest request(RTM_GETLINK, NLM_F_DUMP);
        request.extra<rtgenmsg>().rtgen_family = AF_UNSPEC;
        answer = ask_.talk(*request.header, [&](const nlmsghdr& message) {
            ifinfomsg info;
            if (message.nlmsg_type != RTM_NEWLINK ||
                mnl_nlmsg_get_payload_len(&message) < sizeof(info)) {
                return;
            }
            std::memcpy(&info, mnl_nlmsg_get_payload(&message), sizeof(info));
            if (info.ifi_flags & IFF_LOOPBACK) {
                return;
            }
            Device device{static_cast<std::uint32_t>(info.ifi_index), ""};
            for_each_attribute(message, sizeof(info), [&](int type, const nlattr& attribute) {
                if (type == IFLA_IFNAME) {
                    const auto* text = static_cast<const char*>(mnl_attr_get_payload(&attribute));
                    device.name.assign(text, strnlen(text, mnl_attr_get_payload_len(&attribute)));
                }
            });
            devices.push_back(std::move(device));
        });
        if (answer && *answer == 0) {
            return devices;
        }
    }
    if (!answer) {
        return tl::unexpected(answer.error());
    }
    return fail_errno(*answer, "cannot list the devices of the network namespace");
}

// What a predecessor pinned, if it is of this device and not of a former one with its number.
std::optional<UniqueFd> Guards::take_over(const Device& device) {
    auto pin = pin_of(std::to_string(device.index));
    UniqueFd link(bpf_obj_get(pin.c_str()));
    if (!link) {
        return std::nullopt;
    }
    bpf_link_info info{};
    std::uint32_t length = sizeof(info);
    int program = bpf_program__fd(object_.program(kLeaving));
    if (bpf_link_get_info_by_fd(link.get(), &info, &length) == 0 && info.type == kLinkTypeTcx &&
        info.xdp.ifindex == device.index && bpf_link_update(link.get(), program, nullptr) == 0) {
        return link;
    }
    std::remove(pin.c_str());
    return std::nullopt;
}

Result<void> Guards::put_on(const Device& device) {
    if (auto old = take_over(device)) {
        links_[device.index] = std::move(*old);
        return {};
    }
    auto* program = object_.program(kLeaving);
    UniqueFd link(bpf_link_create(bpf_program__fd(program), static_cast<int>(device.index),
                                  bpf_program__expected_attach_type(program), nullptr));
    if (!link) {
        return fail_errno(errno, "cannot put the guard of services on device {}", device.name);
    }
    auto pin = pin_of(std::to_string(device.index));
    if (bpf_obj_pin(link.get(), pin.c_str()) != 0) {
        return fail_errno(errno, "cannot pin {}", pin);
    }
    links_[device.index] = std::move(link);
    return {};
}

// Of devices that are gone, or that a predecessor guarded in its time.
void Guards::drop_strays() const {
    std::error_code error;
    std::vector<std::string> strays;
    for (fs::directory_iterator it(directory_, error), end; !error && it != end;
         it.increment(error)) {
        auto name = it->path().filename().string();
        bool ours = name == kOpened;
        for (const auto& [index, link] : links_) {
            ours = ours || name == std::to_string(index);
        }
        if (!ours) {
            strays.push_back(it->path());
        }
    }
    for (const auto& stray : strays) {
        std::remove(stray.c_str());
    }
}

Result<void> Guards::refresh() {
    // Before the list: what opens after it makes the number another.
    std::uint64_t opened = 0;
    if (bpf_map_lookup_elem(devices_opened_, &kZero, &opened) != 0) {
        return fail_errno(errno, "cannot read BPF map opened");
    }
    auto devices = list();
    if (!devices) {
        return tl::unexpected(devices.error());
    }
    std::set<std::uint32_t> there;
    for (const auto& device : *devices) {
        there.insert(device.index);
    }
    bool changed =
        std::erase_if(links_, [&](const auto& link) { return !there.contains(link.first); }) > 0;
    Result<void> result;
    for (const auto& device : *devices) {
        if (links_.contains(device.index)) {
            continue;
        }
        changed = true;
        // One that went away meanwhile sends nothing.
        if (auto done = put_on(device); !done && if_nametoindex(device.name.c_str())) {
            result = std::move(done);
        }
    }
    if (changed) {
        drop_strays();
    }
    if (!result) {
        auto stopped = stop_offers();
        return stopped ? result : stopped;
    }
    return opened == covered_ ? result : set_covered(opened);
}

Result<void> Guards::stop_offers() { return set_covered(STEER_GUARD_NONE); }

Result<void> Guards::set_covered(std::uint64_t covered) {
    steer_guard value{covered, netns_, 0};
    if (bpf_map_update_elem(guard_, &kZero, &value, BPF_ANY) != 0) {
        return fail_errno(errno, "cannot write BPF map guard");
    }
    covered_ = covered;
    return {};
}

bool Guards::offers() const {
    std::uint64_t opened = 0;
    return bpf_map_lookup_elem(devices_opened_, &kZero, &opened) == 0 && opened == covered_;
}

}  // namespace smc_steer

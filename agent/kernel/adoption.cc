// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/adoption.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <smc_steer/splice_abi.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "adopt.skel.h"
#include "agent/kernel/tc_filter.h"

namespace smc_steer {
namespace {

// linux/bpf.h of Debian 12 is older: BPF_TCX_INGRESS.
constexpr auto kTcxIngress = static_cast<bpf_attach_type>(46);

splice_own own_of(const std::pair<ino_t, Address>& place) {
    splice_own own{};
    own.netns = static_cast<std::uint32_t>(place.first);
    std::memcpy(own.address.in6, place.second.in6.data(), sizeof(own.address.in6));
    return own;
}

}  // namespace

Result<std::unique_ptr<Adoption>> Adoption::load(SharedMaps& maps) {
    auto object = BpfObject::open("adopt", ::adopt::elf_bytes);
    if (!object) {
        return tl::unexpected(object.error());
    }
    if (auto done = object->load(maps); !done) {
        return tl::unexpected(done.error());
    }
    std::unique_ptr<Adoption> self(new Adoption(std::move(*object)));
    self->program_ = bpf_program__fd(self->object_.programs().front());
    self->adopting_ = maps.at("adopting");
    return self;
}

Adoption::~Adoption() {
    for (const auto& [key, attached] : attached_) {
        detach(key, attached);
    }
}

void Adoption::detach(const DeviceKey& key, const Attached& attached) {
    if (attached.link) {
        return;
    }
    // Nobody is left to be told if it does not work; without us the filter does nothing.
    (void)run_in_netns(attached.netns, [&]() -> Result<void> {
        remove_filter(key.second, attached.qdisc);
        return {};
    });
}

Result<void> Adoption::attach(const DeviceKey& key, int netns) {
    Attached attached;
    attached.netns = UniqueFd(fcntl(netns, F_DUPFD_CLOEXEC, 0));
    auto done = run_in_netns(attached.netns, [&]() -> Result<void> {
        attached.link = UniqueFd(bpf_link_create(program_, key.second, kTcxIngress, nullptr));
        if (attached.link) {
            return {};
        }
        return add_filter(key.second, program_).map([&](bool qdisc) { attached.qdisc = qdisc; });
    });
    if (done) {
        attached_[key] = std::move(attached);
    }
    return done;
}

Result<void> Adoption::set_addresses(const std::map<NetnsId, Namespace>& namespaces,
                                     std::uint16_t port) {
    std::set<std::pair<ino_t, Address>> wanted;
    for (const auto& [id, each] : namespaces) {
        for (const auto& address : each.addresses) {
            wanted.emplace(id.inode, address);
        }
    }
    for (const auto& old : addresses_) {
        if (!wanted.contains(old)) {
            auto own = own_of(old);
            bpf_map_delete_elem(adopting_, &own);
        }
    }
    Result<void> result;
    for (const auto& place : wanted) {
        auto own = own_of(place);
        if (!addresses_.contains(place) &&
            bpf_map_update_elem(adopting_, &own, &port, BPF_ANY) != 0) {
            result = fail_errno(errno, "cannot adopt at {}", to_string(place.second));
        }
    }
    addresses_ = std::move(wanted);
    return result;
}

Result<void> Adoption::refresh(const std::map<NetnsId, Namespace>& namespaces, std::uint16_t port) {
    auto result = set_addresses(namespaces, port);
    std::set<DeviceKey> there;
    for (const auto& [id, each] : namespaces) {
        std::vector<int> devices;
        UniqueFd netns(fcntl(each.fd, F_DUPFD_CLOEXEC, 0));
        auto listed = run_in_netns(netns, [&]() -> Result<void> {
            devices = devices_here();
            return {};
        });
        if (!listed) {
            for (const auto& [key, one] : attached_) {  // what cannot be looked at stays
                if (key.first == id) {
                    there.insert(key);
                }
            }
            if (result) {
                result = listed;
            }
        }
        for (int device : devices) {
            DeviceKey key{id, device};
            there.insert(key);
            if (attached_.contains(key)) {
                continue;
            }
            if (auto done = attach(key, each.fd); !done && result) {
                result = done;
            }
        }
    }
    std::erase_if(attached_, [&](const auto& entry) {
        bool gone = !there.contains(entry.first);
        if (gone) {
            detach(entry.first, entry.second);
        }
        return gone;
    });
    return result;
}

}  // namespace smc_steer

// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/datapath.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <spdlog/spdlog.h>

#include <cerrno>

#include "agent/base/unique_fd.h"
#include "flows.skel.h"
#include "handshake.skel.h"
#include "steer.skel.h"

namespace smc_steer {
namespace {

template <typename Elf>
Result<BpfObject> open_embedded(std::string_view name, Elf elf) {
    std::size_t size = 0;
    const void* bytes = elf(&size);
    return BpfObject::open(name, bytes, size);
}

}  // namespace

Result<std::unique_ptr<Datapath>> Datapath::load() {
    bpf_log_init();
    auto steer = open_embedded("steer", ::steer::elf_bytes);
    if (!steer) {
        return tl::unexpected(steer.error());
    }
    auto handshake = open_embedded("handshake", ::handshake::elf_bytes);
    if (!handshake) {
        return tl::unexpected(handshake.error());
    }
    auto flows = open_embedded("flows", ::flows::elf_bytes);
    if (!flows) {
        return tl::unexpected(flows.error());
    }
    std::unique_ptr<Datapath> self(
        new Datapath(std::move(*steer), std::move(*handshake), std::move(*flows)));

    auto stale = list_registrations();
    if (!stale) {
        return tl::unexpected(stale.error());
    }
    self->stale_ = std::move(*stale);
    std::vector<std::string> taken;
    for (const auto& registration : self->stale_) {
        taken.push_back(registration.name);
    }
    auto choice = choose_handshake_name(taken);
    self->handshake_name_ = choice.name;
    if (choice.taken) {
        for (const auto& registration : self->stale_) {
            if (registration.name == choice.name) {
                if (auto done = unregister(registration); !done) {
                    return tl::unexpected(done.error());
                }
            }
        }
    }
    for (const char* name : kHandshakeNames) {
        if (name != choice.name) {
            if (auto done = self->handshake_.leave_out(name); !done) {
                return tl::unexpected(done.error());
            }
        }
    }

    for (BpfObject* object : {&self->steer_, &self->handshake_, &self->flows_}) {
        if (auto done = object->load(self->shared_); !done) {
            return tl::unexpected(done.error());
        }
    }

    auto stores = Stores::open(self->shared_);
    if (!stores) {
        return tl::unexpected(stores.error());
    }
    self->stores_ = std::make_unique<Stores>(std::move(*stores));
    return self;
}

Datapath::~Datapath() {
    detach_steer();
    unregister_handshake();
}

Result<void> Datapath::attach_flows() {
    UniqueFd root(open("/sys/fs/cgroup", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!root) {
        return fail_errno(errno, "cannot open /sys/fs/cgroup");
    }
    for (bpf_program* program : flows_.programs()) {
        BpfLink link(bpf_program__attach_cgroup(program, root.get()));
        if (!link) {
            return fail_errno(errno, "BPF flows: cannot attach {} to /sys/fs/cgroup",
                              bpf_program__name(program));
        }
        flows_links_.push_back(std::move(link));
    }
    return {};
}

Result<void> Datapath::register_handshake() {
    bpf_map* ops = handshake_.map(handshake_name_);
    if (!ops) {
        return fail("BPF handshake: has no map {}", handshake_name_);
    }
    handshake_link_.reset(bpf_map__attach_struct_ops(ops));
    if (!handshake_link_) {
        return fail_errno(errno, "cannot register smc_hs_ctrl {}", handshake_name_);
    }
    return {};
}

Result<int> Datapath::drop_stale_handshakes() {
    for (const auto& registration : stale_) {
        if (auto done = unregister(registration); !done) {
            return tl::unexpected(done.error());
        }
    }
    int count = static_cast<int>(stale_.size());
    stale_.clear();
    return count;
}

Result<void> Datapath::attach_steer() {
    for (bpf_program* program : steer_.programs()) {
        BpfLink link(bpf_program__attach(program));
        if (!link) {
            return fail_errno(errno, "BPF steer: cannot attach {}", bpf_program__name(program));
        }
        steer_links_.push_back(std::move(link));
    }
    return {};
}

std::vector<ProgramCost> Datapath::costs() const {
    std::vector<ProgramCost> costs;
    for (const BpfObject* object : {&steer_, &handshake_, &flows_}) {
        for (bpf_program* program : object->programs()) {
            bpf_prog_info info{};
            std::uint32_t length = sizeof(info);
            int fd = bpf_program__fd(program);
            if (fd >= 0 && bpf_prog_get_info_by_fd(fd, &info, &length) == 0) {
                costs.push_back({bpf_program__name(program), info.run_cnt, info.run_time_ns});
            }
        }
    }
    return costs;
}

Result<void> Datapath::count_costs() {
    stats_ = UniqueFd(bpf_enable_stats(BPF_STATS_RUN_TIME));
    if (!stats_) {
        return fail_errno(errno, "cannot have the cost of BPF programs measured");
    }
    return {};
}

void Datapath::detach_steer() { steer_links_.clear(); }

// libbpf's "link" of a struct_ops map without BPF_F_LINK: its end is the map's delete_elem.
void Datapath::unregister_handshake() { handshake_link_.reset(); }

}  // namespace smc_steer

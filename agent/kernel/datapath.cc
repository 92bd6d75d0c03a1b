// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/datapath.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <smc_steer/version.h>
#include <spdlog/spdlog.h>

#include <cerrno>

#include "agent/base/unique_fd.h"
#include "flows.skel.h"
#include "handshake.skel.h"
#include "moved.skel.h"
#include "services.skel.h"
#include "steer.skel.h"

namespace smc_steer {
namespace {

// What goes on from agent to agent. All other maps hold what the agent decided, and it decides
// anew: a successor fills its own before it puts them in force.
constexpr const char* kLastingMaps[] = {"counters", "connections", "endpoints"};

}  // namespace

Result<std::unique_ptr<Datapath>> Datapath::load(const Pins& pins, OldLinks old) {
    bpf_log_init();
    if (auto good = pins.check_version(STEER_ABI_VERSION); !good) {
        return tl::unexpected(good.error());
    }
    auto steer = BpfObject::open("steer", ::steer::elf_bytes);
    if (!steer) {
        return tl::unexpected(steer.error());
    }
    auto handshake = BpfObject::open("handshake", ::handshake::elf_bytes);
    if (!handshake) {
        return tl::unexpected(handshake.error());
    }
    auto flows = BpfObject::open("flows", ::flows::elf_bytes);
    if (!flows) {
        return tl::unexpected(flows.error());
    }
    std::unique_ptr<Datapath> self(new Datapath(pins, std::move(old), std::move(*steer),
                                                std::move(*handshake), std::move(*flows)));
    if (auto done = self->choose_handshake(); !done) {
        return tl::unexpected(done.error());
    }
    if (auto done = self->take_over_maps(); !done) {
        return tl::unexpected(done.error());
    }
    for (BpfObject* object : {&self->steer_, &self->handshake_, &self->flows_}) {
        if (auto done = object->load(self->shared_); !done) {
            return tl::unexpected(done.error());
        }
    }
    if (auto done = self->migrate_counters(); !done) {
        return tl::unexpected(done.error());
    }
    if (auto done = self->open_stores(); !done) {
        return tl::unexpected(done.error());
    }
    return self;
}

Result<void> Datapath::open_stores() {
    auto stores = Stores::open(shared_);
    if (!stores) {
        return tl::unexpected(stores.error());
    }
    stores_ = std::make_unique<Stores>(std::move(*stores));
    return {};
}

Result<void> Datapath::choose_handshake() {
    auto stale = list_registrations();
    if (!stale) {
        return tl::unexpected(stale.error());
    }
    stale_ = std::move(*stale);
    std::vector<std::string> taken;
    for (const auto& registration : stale_) {
        taken.push_back(registration.name);
    }
    auto choice = choose_handshake_name(taken);
    handshake_name_ = choice.name;
    if (choice.taken) {
        for (const auto& registration : stale_) {
            if (registration.name == choice.name) {
                if (auto done = unregister(registration); !done) {
                    return done;
                }
            }
        }
    }
    for (const char* name : kHandshakeNames) {
        if (name != choice.name) {
            if (auto done = handshake_.leave_out(name); !done) {
                return done;
            }
        }
    }
    return {};
}

Result<void> Datapath::take_over_maps() {
    auto version = pins_.version();
    if (!version || *version == 0) {
        return {};
    }
    for (const char* name : kLastingMaps) {
        UniqueFd fd = pins_.open(*version, name);
        const bpf_map* map = flows_.map(name);
        if (!fd || !map) {
            continue;
        }
        bpf_map_info info{};
        std::uint32_t length = sizeof(info);
        if (bpf_map_get_info_by_fd(fd.get(), &info, &length) != 0) {
            return fail_errno(errno, "BPF map {}: no information", name);
        }
        if (info.type == static_cast<std::uint32_t>(bpf_map__type(map)) &&
            info.key_size == bpf_map__key_size(map) &&
            info.value_size == bpf_map__value_size(map) &&
            info.max_entries == bpf_map__max_entries(map)) {
            shared_[name] = fd.get();
            taken_over_.push_back(std::move(fd));
        } else if (name == std::string_view("counters")) {
            old_counters_ = std::move(fd);
        }
    }
    return {};
}

// Counters are only ever added at the end: the former ones keep their numbers.
Result<void> Datapath::migrate_counters() {
    if (!old_counters_) {
        return {};
    }
    int cpus = libbpf_num_possible_cpus();
    if (cpus < 0) {
        return fail_errno(-cpus, "cannot count the CPUs");
    }
    std::vector<std::uint64_t> values(cpus);
    for (std::uint32_t i = 0; i < STEER_COUNTERS; i++) {
        if (bpf_map_lookup_elem(old_counters_.get(), &i, values.data()) != 0) {
            break;
        }
        if (bpf_map_update_elem(shared_.at("counters"), &i, values.data(), BPF_ANY) != 0) {
            return fail_errno(errno, "cannot take over counter {}", i);
        }
    }
    old_counters_.reset();
    return {};
}

Datapath::~Datapath() {
    detach_steer();
    unregister_handshake();
}

Result<void> Datapath::measure_lengths(std::uint64_t short_bytes, std::uint64_t short_ns) {
    if (auto done = attach_moved(); !done) {
        return done;
    }
    return stores_->set_short(short_bytes, short_ns);
}

Result<void> Datapath::attach_moved() {
    auto moved = BpfObject::open("moved", ::moved::elf_bytes);
    if (!moved) {
        return tl::unexpected(moved.error());
    }
    if (auto done = moved->load(shared_); !done) {
        return done;
    }
    moved_.emplace(std::move(*moved));
    moved_link_.reset(bpf_program__attach(moved_->programs().front()));
    if (!moved_link_) {
        return fail_errno(errno, "BPF moved: cannot attach to smc_release()");
    }
    return {};
}

Result<void> Datapath::guard_services(const std::vector<Cidr>& services) {
    auto object = BpfObject::open("services", ::services::elf_bytes);
    if (!object) {
        return tl::unexpected(object.error());
    }
    auto guards =
        Guards::open(std::move(*object), shared_, services, pins_.directory() + "/guards");
    if (!guards) {
        return tl::unexpected(guards.error());
    }
    guards_.emplace(std::move(*guards));
    return {};
}

Result<void> Datapath::attach_flows() {
    UniqueFd root(open("/sys/fs/cgroup", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!root) {
        return fail_errno(errno, "cannot open /sys/fs/cgroup");
    }
    for (bpf_program* program : flows_.programs()) {
        std::string name = bpf_program__name(program);
        int fd = bpf_program__fd(program);
        auto old = old_.flows.find(name);
        // Replaced in the link, not attached beside: two would count each connection twice.
        if (old != old_.flows.end() && bpf_link_update(old->second.get(), fd, nullptr) == 0) {
            flows_links_[name] = std::move(old->second);
            continue;
        }
        UniqueFd link(
            bpf_link_create(fd, root.get(), bpf_program__expected_attach_type(program), nullptr));
        if (!link) {
            return fail_errno(errno, "BPF flows: cannot attach {} to /sys/fs/cgroup", name);
        }
        flows_links_[name] = std::move(link);
    }
    old_.flows.clear();
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
    // Until here both were asked, in turns that do not matter: they say the same.
    old_.steer.clear();
    return {};
}

Result<void> Datapath::pin() const { return pins_.pin(STEER_ABI_VERSION, shared_); }

std::vector<int> Datapath::steer_links() const {
    std::vector<int> links;
    for (const auto& link : steer_links_) {
        links.push_back(bpf_link__fd(link.get()));
    }
    return links;
}

std::map<std::string, int> Datapath::flows_links() const {
    std::map<std::string, int> links;
    for (const auto& [name, link] : flows_links_) {
        links[name] = link.get();
    }
    return links;
}

std::vector<ProgramCost> Datapath::costs() const {
    std::vector<ProgramCost> costs;
    std::vector<const BpfObject*> objects{&flows_, &steer_, &handshake_};
    if (moved_) {
        objects.push_back(&*moved_);
    }
    std::vector<bpf_program*> programs = guards_ ? guards_->programs() : decltype(programs){};
    for (const BpfObject* object : objects) {
        auto more = object->programs();
        programs.insert(programs.end(), more.begin(), more.end());
    }
    for (bpf_program* program : programs) {
        bpf_prog_info info{};
        std::uint32_t length = sizeof(info);
        int fd = bpf_program__fd(program);
        if (fd >= 0 && bpf_prog_get_info_by_fd(fd, &info, &length) == 0) {
            costs.push_back({bpf_program__name(program), info.run_cnt, info.run_time_ns});
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

void Datapath::detach_steer() {
    steer_links_.clear();
    old_.steer.clear();
}

// libbpf's "link" of a struct_ops map without BPF_F_LINK: its end is the map's delete_elem.
void Datapath::unregister_handshake() { handshake_link_.reset(); }

}  // namespace smc_steer

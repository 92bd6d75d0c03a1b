// SPDX-License-Identifier: Apache-2.0
#include "broker/region.h"

#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <systemd/sd-id128.h>

#include <algorithm>
#include <utility>

namespace smc_steer::broker {
namespace {

Result<Uuid> random_uuid() {
    sd_id128_t id;
    int r = sd_id128_randomize(&id);
    if (r < 0) {
        return fail_errno(-r, "cannot make the region's UUID");
    }
    Uuid uuid;
    std::copy(std::begin(id.bytes), std::end(id.bytes), uuid.begin());
    return uuid;
}

uint64_t round_up(uint64_t size, uint64_t unit) { return (size + unit - 1) / unit * unit; }

}  // namespace

uint32_t restore_identity(const RegionView& view, const Uuid& uuid) {
    ivpci_header& header = view.header();
    const ivpci_layout& layout = view.layout;
    uint32_t wrong = 0;
    wrong += put_right(header.version, __u32{IVPCI_SHM_VERSION});
    wrong += put_right(header.slots, layout.slots);
    for (size_t i = 0; i < uuid.size(); ++i) {
        wrong += put_right(header.uuid[i], __u8{uuid[i]});
    }
    wrong += put_right(header.size, layout.size);
    wrong += put_right(header.area_off, layout.area_off);
    wrong += put_right(header.area_size, layout.area_size);
    wrong += put_right(header.chunk_off, layout.chunk_off);
    wrong += put_right(header.chunks, layout.chunks);
    wrong += put_right(header.lease_off, layout.lease_off);
    wrong += put_right(header.fabric_id, __u16{make_fabric_id(region_hash(uuid))});
    wrong += load_relaxed(header.magic) != IVPCI_SHM_MAGIC ? 1 : 0;
    store_release(header.magic, __u64{IVPCI_SHM_MAGIC});
    return wrong;
}

void restore_header(const RegionView& view, const Uuid& uuid, uint32_t pid) {
    store_relaxed(view.header().broker_pid, __u32{pid});
    restore_identity(view, uuid);
}

void init_header(const RegionView& view, const Uuid& uuid, uint32_t pid) {
    restore_header(view, uuid, pid);
}

Result<Region> Region::open(const RegionConfig& config, const std::string& state_dir,
                            FdStore& store) {
    auto region = state_dir.empty() ? in_memory(config, store) : in_directory(config, state_dir);
    return std::move(region).map_error([&](Error error) {
        return with_context(std::move(error), fmt::format("region {}", config.name));
    });
}

Result<Region> Region::in_memory(const RegionConfig& config, FdStore& store) {
    std::string memory_name = config.name + "/memory";
    std::string ledger_name = config.name + "/ledger";
    UniqueFd memory_fd = store.take(memory_name);
    UniqueFd ledger_fd = store.take(ledger_name);
    if (memory_fd && ledger_fd) {
        auto memory = Mapping::of(std::move(memory_fd), config.layout.size);
        auto ledger = Mapping::of(std::move(ledger_fd), ledger_size(config.layout));
        if (!memory || !ledger) {
            return fail("the region that the service manager keeps is another's: {}",
                        (memory ? ledger : memory).error().message);
        }
        return ready(std::move(*memory), std::move(*ledger), config);
    }
    store.forget(memory_name);  // half a region: its broker was killed before it was served
    store.forget(ledger_name);
    unsigned flags = config.memory == Memory::kHugetlb ? MFD_HUGETLB : 0;
    auto memory = Mapping::memfd("ivpci-region", config.layout.size, flags);
    if (!memory) {
        return forward_error(std::move(memory), config.memory == Memory::kHugetlb
                                                    ? "huge pages (see vm.nr_hugepages)"
                                                    : "memory");
    }
    auto ledger = Mapping::memfd("ivpci-ledger", ledger_size(config.layout));
    if (!ledger) {
        return forward_error(std::move(ledger));
    }
    int memory_kept = memory->fd();
    int ledger_kept = ledger->fd();
    auto region = ready(std::move(*memory), std::move(*ledger), config);
    if (region) {
        store.keep(memory_name, memory_kept);
        store.keep(ledger_name, ledger_kept);
    }
    return region;
}

Result<Region> Region::in_directory(const RegionConfig& config, const std::string& directory) {
    struct statfs fs {};
    if (statfs(directory.c_str(), &fs) != 0) {
        return fail_errno(errno, "--state-dir {}", directory);
    }
    bool huge = fs.f_type == HUGETLBFS_MAGIC;
    if (!huge && fs.f_type != TMPFS_MAGIC) {
        return fail("--state-dir {}: is on a disk, give a directory on tmpfs or hugetlbfs",
                    directory);
    }
    if (huge != (config.memory == Memory::kHugetlb)) {
        return fail("--state-dir {}: is{} on hugetlbfs, and memory is {}", directory,
                    huge ? "" : " not", huge ? "memfd" : "hugetlb");
    }
    auto page = static_cast<uint64_t>(fs.f_bsize);
    bool fresh_ledger = false;
    bool fresh_memory = false;
    // The ledger first: its lock decides who goes on.
    auto ledger = Mapping::file(directory + "/" + config.name + ".ledger",
                                round_up(ledger_size(config.layout), page), true, fresh_ledger);
    if (!ledger) {
        return forward_error(std::move(ledger));
    }
    auto memory = Mapping::file(directory + "/" + config.name + ".memory", config.layout.size,
                                false, fresh_memory);
    if (!memory) {
        return forward_error(std::move(memory));
    }
    if (reinterpret_cast<const Ledger*>(ledger->base())->magic != 0 && fresh_memory) {
        return fail("{}/{}.memory: is gone, remove the .ledger, too", directory, config.name);
    }
    return ready(std::move(*memory), std::move(*ledger), config);
}

// A ledger without its magic is one that nobody finished: no member can have seen its region.
Result<Region> Region::ready(Mapping memory, Mapping ledger_mapping, const RegionConfig& config) {
    auto& ledger = *reinterpret_cast<Ledger*>(ledger_mapping.base());
    RegionView view{memory.base(), config.layout};
    bool adopted = ledger.magic != 0;
    auto pid = static_cast<uint32_t>(getpid());
    if (adopted) {
        auto good = check_ledger(ledger, config.layout, config.vectors);
        if (!good) {
            return forward_error(std::move(good), "a former broker's state does not fit");
        }
        restore_header(view, ledger.uuid, pid);
    } else {
        auto uuid = random_uuid();
        if (!uuid) {
            return forward_error(std::move(uuid));
        }
        init_header(view, *uuid, pid);
        init_ledger(ledger, config.layout, config.vectors, *uuid);
    }
    return Region(std::move(memory), std::move(ledger_mapping), config.layout, adopted);
}

}  // namespace smc_steer::broker

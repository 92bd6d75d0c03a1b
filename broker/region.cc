// SPDX-License-Identifier: Apache-2.0
#include "broker/region.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <systemd/sd-id128.h>

#include <algorithm>
#include <utility>

namespace smc_steer::broker {

void init_header(const RegionView& view, const Uuid& uuid, uint32_t pid) {
    ivpci_header& header = view.header();
    const ivpci_layout& layout = view.layout;
    header.version = IVPCI_SHM_VERSION;
    header.slots = layout.slots;
    std::copy(uuid.begin(), uuid.end(), header.uuid);
    header.size = layout.size;
    header.area_off = layout.area_off;
    header.area_size = layout.area_size;
    header.chunk_off = layout.chunk_off;
    header.chunks = layout.chunks;
    header.lease_off = layout.lease_off;
    header.fabric_id = make_fabric_id(region_hash(uuid));
    header.broker_pid = pid;
    store_release(header.magic, __u64{IVPCI_SHM_MAGIC});
}

Result<Region> Region::create(const ivpci_layout& layout) {
    UniqueFd fd(memfd_create("ivpci-region", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (!fd) {
        return fail_errno("memfd_create");
    }
    if (ftruncate(fd.get(), static_cast<off_t>(layout.size)) != 0) {
        return fail_errno(errno, "cannot give the region {} bytes", layout.size);
    }
    if (fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
        return fail_errno("cannot seal the region");
    }
    void* base = mmap(nullptr, layout.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    if (base == MAP_FAILED) {
        return fail_errno(errno, "cannot map a region of {} bytes", layout.size);
    }
    Region region(std::move(fd), RegionView{static_cast<std::byte*>(base), layout});

    sd_id128_t id;
    int r = sd_id128_randomize(&id);
    if (r < 0) {
        return fail_errno(-r, "cannot make the region's UUID");
    }
    Uuid uuid;
    std::copy(std::begin(id.bytes), std::end(id.bytes), uuid.begin());
    init_header(region.view(), uuid, static_cast<uint32_t>(getpid()));
    return region;
}

Region::Region(Region&& other) noexcept
    : fd_(std::move(other.fd_)), view_(std::exchange(other.view_, {})) {}

Region::~Region() {
    if (view_.base != nullptr) {
        munmap(view_.base, view_.layout.size);
    }
}

}  // namespace smc_steer::broker

// SPDX-License-Identifier: Apache-2.0
// Reading the region: header, slots and bulletins as include/ivpci/shm_abi.h lays them out.
// Everything in it can change under the reader and be a lie: each word is read once, into
// a local, and bounded there.
#ifndef SMC_STEER_AGENT_PEERS_REGION_H
#define SMC_STEER_AGENT_PEERS_REGION_H

#include <ivpci/shm_abi.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/result.h"
#include "agent/kernel/address.h"

namespace smc_steer {

// Memory of at least layout.chunk_off bytes, mapped read-only, not owned.
struct RegionView {
    const std::byte* base = nullptr;
    ivpci_layout layout{};
};

// `size` and `slots` as the driver says. Fails if the header in the memory says otherwise.
Result<RegionView> view_region(const void* base, std::uint64_t size, std::uint32_t slots);

struct Membership {
    std::uint32_t state = IVPCI_SLOT_EMPTY;
    std::uint32_t generation = 0;
    std::uint64_t gid = 0;

    bool operator==(const Membership&) const = default;
};

// What the broker says of `slot`, 1..slots.
Membership read_slot(const RegionView& region, std::uint32_t slot);

struct Bulletin {
    std::uint32_t agent_version = 0;  // 0: no agent there
    std::string name;                 // printable ASCII, other characters are '?'
    std::vector<Address> addresses;
    std::uint16_t link_port = 0;           // where it takes links; 0: nowhere
    std::uint16_t offload_port = 0;        // where agents agree to move connections; 0: nowhere
    std::array<std::uint8_t, 16> nonce{};  // who names it there can read the region

    bool operator==(const Bulletin&) const = default;
};

// A copy that was not written to while it was made. None: the writer kept writing, or died
// in the middle; ask again at the next doorbell.
std::optional<Bulletin> read_bulletin(const ivpci_bulletin& shared);

const ivpci_bulletin& bulletin_of(const RegionView& region, std::uint32_t slot);

// Writes under the sequence count, also over what a predecessor left half-written.
// Addresses beyond IVPCI_BULLETIN_ADDRESSES are left out. The caller is the only writer.
void write_bulletin(ivpci_bulletin& shared, const Bulletin& bulletin);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_PEERS_REGION_H

// SPDX-License-Identifier: Apache-2.0
// The memory itself, with the header of include/ivpci/shm_abi.h in it, and its ledger beside it.
#ifndef SMC_STEER_BROKER_REGION_H
#define SMC_STEER_BROKER_REGION_H

#include "agent/base/result.h"
#include "broker/config.h"
#include "broker/fd_store.h"
#include "broker/identity.h"
#include "broker/ledger.h"
#include "broker/mapping.h"
#include "broker/shared.h"

namespace smc_steer::broker {

// Writes the header of an empty region (all slots EMPTY, all chunks free), the magic last. The
// memory must be zero. `pid` is what people see as broker_pid.
void init_header(const RegionView& view, const Uuid& uuid, uint32_t pid);

// The same over whatever was scribbled into an old one's first 256 bytes.
void restore_header(const RegionView& view, const Uuid& uuid, uint32_t pid);

// The part of it that never changes. Returns how many words were wrong.
uint32_t restore_identity(const RegionView& view, const Uuid& uuid);

class Region {
public:
    // A former broker's region of that name, out of the service manager's store or `state_dir`; if
    // there is none, a fresh one with a random UUID. A fresh one goes into the store, or the
    // directory. An error when there is one of another shape.
    static Result<Region> open(const RegionConfig& config, const std::string& state_dir,
                               FdStore& store);

    [[nodiscard]] const RegionView& view() const { return view_; }
    [[nodiscard]] Ledger& ledger() const { return *reinterpret_cast<Ledger*>(ledger_.base()); }
    [[nodiscard]] int fd() const { return memory_.fd(); }
    [[nodiscard]] bool adopted() const { return adopted_; }

private:
    Region(Mapping memory, Mapping ledger, const ivpci_layout& layout, bool adopted)
        : memory_(std::move(memory)),
          ledger_(std::move(ledger)),
          view_{memory_.base(), layout},
          adopted_(adopted) {}
    static Result<Region> in_directory(const RegionConfig& config, const std::string& directory);
    static Result<Region> in_memory(const RegionConfig& config, FdStore& store);
    static Result<Region> ready(Mapping memory, Mapping ledger, const RegionConfig& config);

    Mapping memory_;
    Mapping ledger_;
    RegionView view_;
    bool adopted_;
};

}  // namespace smc_steer::broker

#endif  // SMC_STEER_BROKER_REGION_H

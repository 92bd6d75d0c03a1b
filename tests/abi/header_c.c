// SPDX-License-Identifier: Apache-2.0
// The contracts are C as well as C++: kernel module and BPF programs include them too.
#include <ivpci/shm_abi.h>
#include <ivpci/uapi.h>
#include <ivshmem/protocol.h>
#include <smc_steer/direct_abi.h>
#include <smc_steer/events_abi.h>
#include <smc_steer/policy_abi.h>

int abi_layout_from_c(struct ivpci_layout* layout, __u64 size, __u32 slots);

int abi_layout_from_c(struct ivpci_layout* layout, __u64 size, __u32 slots) {
    return ivpci_layout_init(layout, size, slots);
}

// SPDX-License-Identifier: Apache-2.0
// Eventfds that virtual machines have, too. They share one open file with us: whoever has it can
// fill the counter and take O_NONBLOCK away, at any moment. What is done here never waits longer
// than kPatience all the same.
#ifndef SMC_STEER_BROKER_DOORBELL_H
#define SMC_STEER_BROKER_DOORBELL_H

#include <chrono>

#include "agent/base/result.h"
#include "agent/base/unique_fd.h"

namespace smc_steer::broker {

constexpr std::chrono::milliseconds kPatience{50};

// A non-blocking eventfd.
Result<UniqueFd> make_doorbell();

// Writes one. True also when the counter is full: then its reader is being woken already. False:
// the other side has made it a descriptor that blocks.
bool ring_doorbell(int fd);

// Makes it as new for the next member of its slot: not blocking, nothing rung. False as above.
bool reset_doorbell(int fd);

// Sets the counter back. False as above.
bool clear_doorbell(int fd);

}  // namespace smc_steer::broker

#endif  // SMC_STEER_BROKER_DOORBELL_H

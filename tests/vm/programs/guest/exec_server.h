// SPDX-License-Identifier: Apache-2.0
// The guest's end of the exec channel (tests/vm/harness/channel.py has the protocol).
#ifndef SMC_STEER_TESTS_VM_PROGRAMS_GUEST_EXEC_SERVER_H
#define SMC_STEER_TESTS_VM_PROGRAMS_GUEST_EXEC_SERVER_H

namespace guest {

// Runs programs for whoever is at the other end of the virtio-serial port, and reaps what others
// left behind where this is process 1. Does not return; throws std::system_error if there is no
// port.
[[noreturn]] void serve();

}  // namespace guest

#endif  // SMC_STEER_TESTS_VM_PROGRAMS_GUEST_EXEC_SERVER_H

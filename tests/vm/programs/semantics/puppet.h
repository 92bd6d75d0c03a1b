// SPDX-License-Identifier: Apache-2.0
// The far end of the tests: does with its sockets what a line says, and answers with a line.
#pragma once

#include <cstdint>

namespace semantics {

// Until it is killed. Each control connection gets a process, whose sockets end with it.
int serve_puppets(uint16_t port);

}  // namespace semantics

// SPDX-License-Identifier: Apache-2.0
// Connections that somebody moves onto rings while a program has them (docs/DIRECT.md).
#pragma once

#include <string>

namespace semantics {

// Until the connection has rings, or, if `what` is "moved", sends by its. "ok", or what is in the
// way.
std::string await_rings(int fd, const std::string& what);

}  // namespace semantics

// SPDX-License-Identifier: Apache-2.0
#include "rings.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>

#include "smc_steer/direct_abi.h"
#include "socket.h"

namespace semantics {

std::string await_rings(int fd, const std::string& what) {
    const Fd device(open("/dev/tcp_ivpci", O_RDWR | O_CLOEXEC));
    if (!device) {
        return "/dev/tcp_ivpci: " + error_name(errno);
    }
    const uint32_t wanted = DIRECT_RINGS | (what == "moved" ? DIRECT_MOVED : 0);
    direct_request look{};
    look.fd = fd;
    look.net = -1;
    for (int turn = 0; turn < kWaitMs / 5; ++turn) {
        if (ioctl(device.get(), DIRECT_LOOK, &look) != 0) {
            return "look: " + error_name(errno);
        }
        if ((look.state & wanted) == wanted) {
            return "ok";
        }
        usleep(5000);
    }
    return "state " + std::to_string(look.state);
}

}  // namespace semantics
